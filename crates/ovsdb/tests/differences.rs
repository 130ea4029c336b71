//! The differences a real server sends in `update2` and `update3` are the ones [`ovsdb::difference`] computes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "test code: a failure is the result")]

mod support;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use ovsdb::Client;
use ovsdb::cache::Database;
use ovsdb::difference::difference;
use ovsdb::frame::Framer;
use ovsdb::monitor::{Decoder, MonitorMethod, RowUpdate, Updates};
use ovsdb::schema::DatabaseSchema;
use serde_json::{Value, json};
use support::random::Random;
use support::{Kind, PATIENCE, Server, everything, read_schema, soon};

/// One monitor, read message by message.
struct Monitor {
    stream: UnixStream,
    framer: Framer,
    method: MonitorMethod,
}

impl Monitor {
    fn start(server: &Server, schema: &DatabaseSchema, method: MonitorMethod) -> (Self, Value) {
        let stream = UnixStream::connect(server.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut monitor = Self { stream, framer: Framer::new(1 << 24), method };
        let spec = everything(schema);
        let requests: Value =
            spec.tables().iter().map(|(t, s)| (t.clone(), json!([{"columns": s.columns}]))).collect();
        let mut params = vec![json!(schema.name()), json!("m"), requests];
        if method == MonitorMethod::CondSince {
            params.push(json!(uuid::Uuid::nil().to_string()));
        }
        let request = json!({"id": 0, "method": method.as_str(), "params": params});
        monitor.stream.write_all(request.to_string().as_bytes()).unwrap();
        let mut answer = monitor.next();
        let result = answer["result"].take();
        let dump = if method == MonitorMethod::CondSince { result[2].clone() } else { result };
        (monitor, dump)
    }

    fn next(&mut self) -> Value {
        loop {
            if let Some(message) = self.framer.next_message().unwrap() {
                return message;
            }
            let mut input = [0; 4096];
            let count = self.stream.read(&mut input).unwrap();
            assert_ne!(count, 0, "server closed the connection");
            self.framer.push(&input[..count]);
        }
    }

    fn next_updates(&mut self) -> Value {
        let mut message = self.next();
        message["params"].as_array_mut().unwrap().pop().unwrap()
    }
}

/// Compares every `modify` with the difference between the row before and after it; counts them.
fn compare(schema: &DatabaseSchema, before: &Database, after: &Database, updates: &Updates) -> usize {
    let mut compared = 0;
    for (table, rows) in updates {
        for (uuid, update) in rows {
            let RowUpdate::Modify(sent) = update else { continue };
            let (old, new) = (before.row(table, *uuid).unwrap(), after.row(table, *uuid).unwrap());
            for (column, old) in old.iter() {
                let column_type = schema.column(table, column).unwrap();
                let ours = (*old != new[column]).then(|| difference(column_type, old, &new[column]).unwrap());
                assert_eq!(sent.get(column), ours.as_ref(), "{table}.{column}: {old:?} to {:?}", new[column]);
                compared += usize::from(ours.is_some());
            }
        }
    }
    compared
}

#[tokio::test]
async fn server_sends_the_differences_we_compute() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/schema/everything.ovsschema");
    let schema = read_schema(&path);
    let spec = everything(&schema);
    for method in [MonitorMethod::CondSince, MonitorMethod::Cond] {
        let server = Server::of_schema(&path, Kind::Standalone);
        let writer = Client::start(server.config());
        writer.wait_synced(soon()).await.unwrap();
        let decoder = Decoder { schema: &schema, spec: &spec };
        let (mut monitor, dump) = Monitor::start(&server, &schema, method);
        let mut replica = Database::new();
        replica.replace(&decoder.decode(method, &dump).unwrap()).unwrap();
        let mut random = Random::new(schema.clone(), 7047);
        let mut compared = 0;
        for _ in 0..120 {
            let before = writer.cache();
            let tx = random.transaction(&before);
            // Refusals are as good: nothing is sent then.
            let _ = writer.transact(&tx).await;
            if writer.cache() == before {
                continue;
            }
            let updates = decoder.decode(monitor.method, &monitor.next_updates()).unwrap();
            let old = replica.clone();
            replica.apply(&schema, &updates).unwrap();
            assert_eq!(replica, *writer.cache());
            compared += compare(&schema, &old, &replica, &updates);
        }
        assert!(compared > 200, "{compared} differences are too few to prove anything");
        println!("{}: {compared} differences compared", method.as_str());
    }
}
