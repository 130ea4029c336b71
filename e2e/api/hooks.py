"""What `./dev api` adds to schemathesis: a refused request has stored nothing.

Before and after every call the whole store is read, past netmaster: SQLite's file, or etcd's HTTP gateway. Told by the
environment: SELVAGE_STORE is `sqlite:FILE` or `etcd:URL`. Leases are left out, netmaster renews them by itself.
"""

import base64
import hashlib
import json
import os
import sqlite3
import urllib.request

import schemathesis

KIND, _, PLACE = os.environ["SELVAGE_STORE"].partition(":")


def rows():
    if KIND == "sqlite":
        database = sqlite3.connect(f"file:{PLACE}?mode=ro", uri=True, timeout=10)
        try:
            yield from database.execute("SELECT * FROM kv ORDER BY 1")
        finally:
            database.close()
    else:
        every = base64.b64encode(b"\0").decode()
        body = json.dumps({"key": every, "range_end": every}).encode()
        with urllib.request.urlopen(f"{PLACE}/v3/kv/range", data=body, timeout=10) as answer:
            for kv in json.load(answer).get("kvs", []):
                yield (base64.b64decode(kv["key"]).decode(), kv.get("value"), kv["mod_revision"])


def dump():
    digest = hashlib.sha256()
    for row in rows():
        if "leases/" not in str(row[0]):
            digest.update(repr(row).encode())
    return digest.hexdigest()


BEFORE = {}


@schemathesis.hook
def before_call(context, case, kwargs):
    # A watch has no end to wait for; netmaster's own tests follow it.
    if isinstance(case.query, dict) and str(case.query.get("watch")).lower() in ("true", "1"):
        case.query["watch"] = "false"
    BEFORE[case.id] = dump()


@schemathesis.check
def refused_request_stores_nothing(ctx, response, case):
    before = BEFORE.pop(case.id, None)
    if response.status_code >= 400 and before is not None and dump() != before:
        raise AssertionError(f"{response.status_code}, and the store has changed")


@schemathesis.check
def refusal_is_a_problem(ctx, response, case):
    if response.status_code >= 400:
        kind = response.headers.get("content-type", [""])[0]
        assert kind == "application/problem+json", f"{response.status_code} is {kind!r}"
