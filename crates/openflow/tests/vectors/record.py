#!/usr/bin/env python3
"""Records what the real ovs-ofctl and ovs-vswitchd say to each other: golden bytes for tests/wire.rs.

    unshare -n tests/vectors/record.py        (from crates/openflow, as root; writes *.hex beside itself)

Starts a private ovsdb-server and ovs-vswitchd (userspace datapath), and puts a proxy between ovs-ofctl and the
bridge's management socket that writes down every frame of both directions, one in a line.
"""
import os
import pathlib
import select
import signal
import socket
import subprocess
import tempfile
import threading

BRIDGE, PORT = "br-record", "p-record"
HERE = pathlib.Path(__file__).parent
CORPUS = [line for name in ("pipeline", "features")
          for line in (HERE.parent / "corpus" / f"{name}.flows").read_text().splitlines()
          if line and not line.startswith("#")]


class Proxy:
    """Passes bytes between one client at a time and the bridge, and keeps the frames."""

    def __init__(self, path, target):
        self.frames, self.target = [], target
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(path)
        self.listener.listen(4)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            client, _ = self.listener.accept()
            switch = socket.socket(socket.AF_UNIX)
            switch.connect(self.target)
            threading.Thread(target=self.pump, args=(client, switch), daemon=True).start()

    def pump(self, client, switch):
        buffers = {client: b"", switch: b""}
        while True:
            for side in select.select([client, switch], [], [])[0]:
                data = side.recv(65536)
                if not data:
                    client.close()
                    switch.close()
                    return
                (switch if side is client else client).sendall(data)
                buffer = buffers[side] + data
                while len(buffer) >= 8 and len(buffer) >= (length := int.from_bytes(buffer[2:4], "big")):
                    self.frames.append(buffer[:length])
                    buffer = buffer[length:]
                buffers[side] = buffer


def main():
    with tempfile.TemporaryDirectory() as run:
        os.environ["OVS_RUNDIR"] = run
        db = f"unix:{run}/db.sock"
        daemon = dict(check=True)
        subprocess.run(["ovsdb-tool", "create", f"{run}/conf.db", "/usr/share/openvswitch/vswitch.ovsschema"], **daemon)
        common = ["-vconsole:off", "--detach", "--no-chdir"]
        subprocess.run(["ovsdb-server", f"{run}/conf.db", f"--remote=p{db}", f"--unixctl={run}/ovsdb.ctl",
                        f"--pidfile={run}/ovsdb.pid", f"--log-file={run}/ovsdb.log", *common], **daemon)
        subprocess.run(["ovs-vsctl", "--no-wait", f"--db={db}", "init"], **daemon)
        subprocess.run(["ovs-vswitchd", db, f"--unixctl={run}/v.ctl", f"--pidfile={run}/v.pid",
                        f"--log-file={run}/v.log", "--disable-system", *common], **daemon)
        try:
            record(run, db)
        finally:
            for name in ("v.pid", "ovsdb.pid"):
                os.kill(int(pathlib.Path(run, name).read_text()), signal.SIGTERM)


def record(run, db):
    subprocess.run(["ovs-vsctl", f"--db={db}", "add-br", BRIDGE, "--", "set", "bridge", BRIDGE, "datapath_type=netdev",
                    "fail_mode=secure", "protocols=OpenFlow13,OpenFlow14,OpenFlow15", "--", "add-port", BRIDGE, PORT,
                    "--", "set", "interface", PORT, "type=internal", "ofport_request=5"], check=True)
    proxy = Proxy(f"{run}/proxy", f"{run}/{BRIDGE}.mgmt")
    bridge = f"unix:{run}/proxy"

    def ofctl(version, *args, ok=True):
        subprocess.run(["ovs-ofctl", "-O", version, "--no-names", *args], check=ok,
                       stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    for version in ("OpenFlow13", "OpenFlow14", "OpenFlow15"):
        ofctl(version, "add-meter", bridge, "meter=5,pktps,burst,band=type=drop,rate=10,burst_size=10")
        ofctl(version, "add-group", bridge,
              "group_id=6,type=select,selection_method=dp_hash,bucket=bucket_id:1,weight:10,actions=output:1")
        proxy.frames.clear()
        lines = []
        for flow in CORPUS:
            if version == "OpenFlow13" and "importance" in flow:
                continue
            proxy.frames.clear()
            ofctl(version, "add-flow", bridge, flow)
            frame = next(f for f in proxy.frames if f[1] == 14)
            lines.append(f"{flow}\t{frame.hex()}")
        (HERE / f"{version}.flow_mods.hex").write_text("\n".join(lines) + "\n")
        ofctl(version, "del-flows", bridge)
        ofctl(version, "del-groups", bridge)
        ofctl(version, "del-meters", bridge)

    proxy.frames.clear()
    new = "OpenFlow15"
    ofctl(new, "add-meter", bridge, "meter=5,kbps,burst,band=type=drop,rate=10,burst_size=10")
    ofctl(new, "add-group", bridge,
          "group_id=6,type=select,selection_method=dp_hash,bucket=bucket_id:1,weight:10,actions=output:1,"
          "bucket=bucket_id:2,watch_port:5,actions=set_field:1->reg0,resubmit(,4)")
    ofctl(new, "insert-buckets", bridge, "group_id=6,command_bucket_id=last,bucket=bucket_id:3,actions=output:2")
    ofctl(new, "remove-buckets", bridge, "group_id=6,command_bucket_id=3")
    flows = pathlib.Path(run, "flows")
    flows.write_text("\n".join(CORPUS[:40:3]) + "\n")
    ofctl(new, "--bundle", "add-flows", bridge, str(flows))
    ofctl(new, "add-flow", bridge, "actions=group:99", ok=False)
    for command in ("show", "dump-flows", "dump-aggregate", "dump-tables", "dump-ports-desc", "dump-groups",
                    "dump-meters", "dump-desc"):
        ofctl(new, command, bridge)
    ofctl(new, "packet-out", bridge, "in_port=5 packet=" + "00" * 60 + " actions=output:1")
    monitor = subprocess.Popen(["ovs-ofctl", "-O", new, "--no-names", "monitor", bridge, "65534", "watch:"],
                               stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    wait_for(lambda: any(f[1] == 19 and f[8:10] == b"\0\x10" for f in proxy.frames))
    # Straight to the bridge: these are another's changes to the monitor.
    direct = f"unix:{run}/{BRIDGE}.mgmt"
    ofctl(new, "add-flow", direct, "table=9,priority=7,actions=controller(userdata=01.02)")
    ofctl(new, "mod-flows", direct, "table=9,actions=controller(userdata=01.02.03)")
    ofctl(new, "packet-out", direct,
          "in_port=5 packet=" + "00" * 60 + " actions=set_field:7->reg3,resubmit(,9)")
    ofctl(new, "del-flows", direct, "table=9")
    wait_for(lambda: sum(f[1] == 19 and f[8:10] == b"\0\x10" for f in proxy.frames) >= 4)
    subprocess.run(["ovs-vsctl", f"--db={db}", "del-port", PORT], check=True)
    wait_for(lambda: any(f[1] == 12 for f in proxy.frames))
    monitor.kill()
    seen, kept = set(), []
    for frame in proxy.frames:
        # One of each type (multipart type, vendor subtype) and length is enough.
        key = (frame[1], frame[8:16] if frame[1] in (4, 18, 19) else b"", len(frame))
        if key not in seen and len(frame) < 6000:
            seen.add(key)
            kept.append(frame.hex())
    (HERE / "messages.hex").write_text("\n".join(kept) + "\n")


def wait_for(condition):
    for _ in range(500):
        if condition():
            return
        select.select([], [], [], 0.01)
    raise SystemExit("the switch did not say what was waited for")


main()
