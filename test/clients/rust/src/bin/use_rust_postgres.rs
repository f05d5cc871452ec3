//! The crates postgres and pgvector: all in binary; prepared statements, COPY, a portal.
use pgvector::{Bit, HalfVector, SparseVector, Vector};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{ToSql, Type};
use postgres::{Client, NoTls};
use std::panic::{catch_unwind, AssertUnwindSafe};

const DIM: usize = 16;
const COUNT: usize = 5000; // as in quantvec_client.py
const CLASSES: [(&str, &str); 3] = [("<->", "l2_ops"), ("<#>", "ip_ops"), ("<=>", "cosine_ops")];

/// Multiples of 1/256 between -1 and 1: exact in halfvec too.
fn make_rows(count: usize, state: &mut u32) -> Vec<Vec<f32>> {
    let mut next = || {
        *state = state.wrapping_mul(1103515245).wrapping_add(12345);
        ((*state >> 16) % 513) as f32 / 256.0 - 1.0
    };
    (0..count).map(|_| (0..DIM).map(|_| next()).collect()).collect()
}

fn distance(operator: &str, a: &[f32], b: &[f32]) -> f64 {
    let sum = |f: &dyn Fn(f64, f64) -> f64| -> f64 { a.iter().zip(b).map(|(x, y)| f(*x as f64, *y as f64)).sum() };
    let dot = sum(&|x, y| x * y);
    match operator {
        "<->" => sum(&|x, y| (x - y) * (x - y)).sqrt(),
        "<#>" => -dot,
        _ => 1.0 - dot / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt(),
    }
}

/// The rows of ids, which are numbers in rows, are the nearest ones, in order. Equal distances may change places.
fn is_nearest(ids: &[i32], query: &[f32], operator: &str, rows: &[Vec<f32>]) {
    assert!(!ids.is_empty(), "no row");
    let exact: Vec<f64> = rows.iter().map(|row| distance(operator, row, query)).collect();
    let mut sorted = exact.clone();
    sorted.sort_by(f64::total_cmp);
    for (place, id) in ids.iter().enumerate() {
        assert!((exact[*id as usize] - sorted[place]).abs() < 1e-6, "row {id} at place {place}");
    }
    let distinct: std::collections::HashSet<_> = ids.iter().collect();
    assert_eq!(distinct.len(), ids.len(), "a row comes twice");
}

fn ids(db: &mut Client, statement: &str, query: &(dyn ToSql + Sync)) -> Vec<i32> {
    db.query(statement, &[query]).unwrap().iter().map(|row| row.get(0)).collect()
}

fn uses_index(db: &mut Client, index: &str, statement: &str, query: &(dyn ToSql + Sync)) {
    let rows = db.query(&format!("EXPLAIN {statement}"), &[query]).unwrap();
    let plan: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert!(plan.join("\n").contains(&format!("Index Scan using {index}")), "{plan:?}");
}

fn copy(db: &mut Client, table: &str, kind: &str, values: Vec<Box<dyn ToSql + Sync>>) {
    let column = db.prepare(&format!("SELECT NULL::{kind}")).unwrap().columns()[0].type_().clone();
    let writer = db.copy_in(&format!("COPY {table} FROM STDIN (FORMAT BINARY)")).unwrap();
    let mut writer = BinaryCopyInWriter::new(writer, &[Type::INT4, column]);
    for (i, value) in values.iter().enumerate() {
        writer.write(&[&(i as i32), value.as_ref()]).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), values.len() as u64);
}

/// As Cargo.toml fixes it: name = "=1.2.3".
fn version(name: &str) -> &'static str {
    let line = include_str!("../../Cargo.toml").lines().find(|line| line.starts_with(name)).unwrap();
    line.split('"').nth(1).unwrap().trim_start_matches('=')
}

struct Checks {
    done: u32,
    failed: u32,
}

impl Checks {
    fn check(&mut self, name: &str, run: impl FnOnce()) {
        self.done += 1;
        let ok = catch_unwind(AssertUnwindSafe(run)).is_ok();
        self.failed += !ok as u32;
        println!("{}ok {} - {name}", if ok { "" } else { "not " }, self.done);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (url, way) = (&arguments[1], arguments[2].as_str());
    let method = if way == "vector" { "hnsw" } else { "quantvec" };
    println!("# postgres for Rust: postgres {}, pgvector-rust {}", version("postgres"), version("pgvector"));
    std::panic::set_hook(Box::new(|what| println!("#   {}", what.to_string().replace('\n', "\n#   "))));

    let mut state = 7;
    let vectors = make_rows(COUNT, &mut state);
    let queries = make_rows(5, &mut state);
    let sparse: Vec<Vec<f32>> =
        vectors[..200].iter().map(|row| row.iter().map(|x| if *x > 0.5 { *x } else { 0.0 }).collect()).collect();
    let signs: Vec<Vec<bool>> = vectors[..200].iter().map(|row| row.iter().map(|x| *x > 0.0).collect()).collect();
    let mut db = Client::connect(url, NoTls).unwrap();
    let mut checks = Checks { done: 0, failed: 0 };

    checks.check("create extension and table", || {
        if way != "quantvec" {
            db.batch_execute("CREATE EXTENSION IF NOT EXISTS vector").unwrap();
        }
        db.batch_execute(&format!("CREATE TABLE items (id int PRIMARY KEY, v vector({DIM}))")).unwrap();
    });

    checks.check("binary COPY in, read", || {
        let values = vectors.iter().map(|row| Box::new(Vector::from(row.clone())) as Box<dyn ToSql + Sync>).collect();
        copy(&mut db, "items", "vector", values);
        for (row, expected) in db.query("SELECT v FROM items ORDER BY id", &[]).unwrap().iter().zip(&vectors) {
            assert_eq!(row.get::<_, Vector>(0).to_vec(), *expected);
        }
    });

    for (operator, ops) in CLASSES {
        checks.check(&format!("index vector_{ops}, ORDER BY v {operator}"), || {
            db.batch_execute(&format!("CREATE INDEX items_{ops} ON items USING {method} (v vector_{ops})")).unwrap();
            let statement = format!("SELECT id FROM items ORDER BY v {operator} $1 LIMIT 10");
            for query in &queries {
                is_nearest(&ids(&mut db, &statement, &Vector::from(query.clone())), query, operator, &vectors);
            }
            uses_index(&mut db, &format!("items_{ops}"), &statement, &Vector::from(queries[0].clone()));
        });
    }

    checks.check("NULL goes in and comes out", || {
        db.execute("INSERT INTO items VALUES ($1, $2)", &[&(COUNT as i32), &None::<Vector>]).unwrap();
        let row = db.query_one("SELECT v FROM items WHERE id = $1", &[&(COUNT as i32)]).unwrap();
        assert_eq!(row.get::<_, Option<Vector>>(0), None);
    });

    checks.check("avg", || {
        let mean = db.query_one("SELECT avg(v) FROM items", &[]).unwrap().get::<_, Vector>(0).to_vec();
        for i in 0..DIM {
            let exact = vectors.iter().map(|row| row[i] as f64).sum::<f64>() / COUNT as f64;
            assert!((mean[i] as f64 - exact).abs() < 1e-6, "{mean:?}");
        }
    });

    checks.check("a prepared statement, custom and generic plans", || {
        let statement = db.prepare("SELECT id FROM items ORDER BY v <-> $1 LIMIT 5").unwrap();
        for query in queries.iter().cycle().take(15) {
            let rows = db.query(&statement, &[&Vector::from(query.clone())]).unwrap();
            let found: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
            is_nearest(&found, query, "<->", &vectors);
        }
    });

    checks.check("a portal (cursor) reads all rows", || {
        let mut transaction = db.transaction().unwrap();
        transaction.batch_execute("SET LOCAL quantvec.probes = 1").unwrap(); // the scan opens the other lists as it goes
        let statement = "SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> $1";
        let portal = transaction.bind(statement, &[&Vector::from(queries[0].clone())]).unwrap();
        let mut found: Vec<i32> = vec![];
        loop {
            let rows = transaction.query_portal(&portal, 100).unwrap();
            if rows.is_empty() {
                break;
            }
            found.extend(rows.iter().map(|row| row.get::<_, i32>(0)));
        }
        found.sort();
        assert!(found.iter().copied().eq(0..COUNT as i32), "{} rows", found.len());
    });

    checks.check("halfvec: binary COPY, index", || {
        db.batch_execute(&format!("CREATE TABLE halves (id int, v halfvec({DIM}))")).unwrap();
        let half = |row: &Vec<f32>| HalfVector::from_f32_slice(row);
        let values = vectors.iter().map(|row| Box::new(half(row)) as Box<dyn ToSql + Sync>).collect();
        copy(&mut db, "halves", "halfvec", values);
        db.batch_execute(&format!("CREATE INDEX halves_v ON halves USING {method} (v halfvec_l2_ops)")).unwrap();
        let statement = "SELECT id FROM halves ORDER BY v <-> $1 LIMIT 10";
        is_nearest(&ids(&mut db, statement, &half(&queries[1])), &queries[1], "<->", &vectors);
        uses_index(&mut db, "halves_v", statement, &half(&queries[1]));
    });

    checks.check("sparsevec: binary COPY, ORDER BY", || {
        db.batch_execute(&format!("CREATE TABLE sparse (id int, v sparsevec({DIM}))")).unwrap();
        let values =
            sparse.iter().map(|row| Box::new(SparseVector::from_dense(row)) as Box<dyn ToSql + Sync>).collect();
        copy(&mut db, "sparse", "sparsevec", values);
        let statement = "SELECT id FROM sparse ORDER BY v <-> $1 LIMIT 10";
        is_nearest(&ids(&mut db, statement, &SparseVector::from_dense(&queries[2])), &queries[2], "<->", &sparse);
    });

    checks.check("bit: binary COPY, ORDER BY <~>", || {
        db.batch_execute(&format!("CREATE TABLE bits (id int, b bit({DIM}))")).unwrap();
        let values = signs.iter().map(|row| Box::new(Bit::new(row)) as Box<dyn ToSql + Sync>).collect();
        copy(&mut db, "bits", "bit", values);
        let found = ids(&mut db, "SELECT id FROM bits ORDER BY b <~> $1 LIMIT 10", &Bit::new(&signs[3]));
        let exact: Vec<usize> =
            signs.iter().map(|row| row.iter().zip(&signs[3]).filter(|(a, b)| a != b).count()).collect();
        let mut sorted = exact.clone();
        sorted.sort();
        assert!(found.iter().map(|id| exact[*id as usize]).eq(sorted[..10].iter().copied()), "{found:?}");
    });

    checks.check("wrong dimensions are an error with pgvector's message and SQLSTATE", || {
        let error = db.execute("INSERT INTO items VALUES (-1, $1)", &[&Vector::from(vec![1.0, 2.0, 3.0])]).unwrap_err();
        let error = error.as_db_error().unwrap();
        assert_eq!((error.code().code(), error.message()), ("22000", "expected 16 dimensions, not 3"));
    });

    println!("1..{}", checks.done);
    std::process::exit((checks.failed > 0) as i32);
}
