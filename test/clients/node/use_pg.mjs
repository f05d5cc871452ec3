// pg (node-postgres) with npm's pgvector: values as text, named statements, streams, COPY in both formats.
import assert from 'node:assert/strict';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import pg from 'pg';
import pgCopy from 'pg-copy-streams';
import QueryStream from 'pg-query-stream';
import pgvector from 'pgvector/pg';
import { SparseVector } from 'pgvector';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('pg for Node', 'pg', 'pgvector');
const db = new pg.Client({ connectionString: qv.url });
await db.connect();
const rows = async (text, values, name) => (await db.query({ text, values, name })).rows;
const ids = async (...query) => (await rows(...query)).map((row) => row.id);

await check('CREATE EXTENSION and type registration', async () => {
  if (qv.createsExtension) {
    await db.query('CREATE EXTENSION IF NOT EXISTS vector');
  }
  await pgvector.registerTypes(db);
  assert.deepEqual((await rows("SELECT '[1,2,3]'::vector AS v"))[0].v, [1, 2, 3]);
});

await check('create table, insert by parameters', async () => {
  await db.query(`CREATE TABLE items (id int PRIMARY KEY, v vector(${qv.dim}))`);
  for (let i = 0; i < 100; i++) {
    await db.query('INSERT INTO items VALUES ($1, $2)', [i, pgvector.toSql(qv.vectors[i])]);
  }
  assert.deepEqual((await rows('SELECT v FROM items ORDER BY id')).map((row) => row.v), qv.vectors.slice(0, 100));
});

await check('binary COPY in and out', async () => {
  // Header; for each row 2 columns: 4 bytes of id, and dimensions, 0 and floats; end.
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
  const row = (i) => {
    const bytes = Buffer.alloc(2 + 8 + 8 + 4 * qv.dim);
    bytes.writeInt16BE(2, 0);
    bytes.writeInt32BE(4, 2);
    bytes.writeInt32BE(i, 6);
    bytes.writeInt32BE(4 + 4 * qv.dim, 10);
    bytes.writeInt16BE(qv.dim, 14);
    qv.vectors[i].forEach((x, k) => bytes.writeFloatBE(x, 18 + 4 * k));
    return bytes;
  };
  const file = (from, to) => Buffer.concat([header, ...Array.from({ length: to - from }, (_, i) => row(from + i)),
    Buffer.from([255, 255])]);
  await pipeline(Readable.from([file(100, qv.count)]), db.query(pgCopy.from('COPY items FROM STDIN (FORMAT BINARY)')));
  const out = [];
  await pipeline(db.query(pgCopy.to('COPY (SELECT * FROM items ORDER BY id) TO STDOUT (FORMAT BINARY)')),
    new Writable({ write: (chunk, _, next) => { out.push(chunk); next(); } }));
  assert.ok(Buffer.concat(out).equals(file(0, qv.count)), 'other bytes come out');
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ORDER BY v ${operator}`, async () => {
    await db.query(`CREATE INDEX items_${ops} ON items USING ${qv.method} (v vector_${ops})`);
    const statement = `SELECT id FROM items ORDER BY v ${operator} $1 LIMIT 10`;
    for (const query of qv.queries) {
      qv.isNearest(await ids(statement, [pgvector.toSql(query)]), query, operator);
    }
    qv.usesIndex(await rows('EXPLAIN ' + statement, [pgvector.toSql(qv.queries[0])]), `items_${ops}`);
  });
}

await check('NULL goes in and comes out, and is in no answer', async () => {
  await db.query('INSERT INTO items VALUES ($1, $2)', [qv.count, pgvector.toSql(null)]);
  assert.equal((await rows('SELECT v FROM items WHERE id = $1', [qv.count]))[0].v, null);
  qv.isNearest(await ids('SELECT id FROM items ORDER BY v <-> $1 LIMIT 10', [pgvector.toSql(qv.queries[0])]), qv.queries[0]);
});

await check('avg and sum', async () => {
  const [{ avg, sum }] = await rows('SELECT avg(v), sum(v) FROM items');
  qv.mean(qv.vectors).forEach((x, i) => {
    qv.isClose(avg[i], x);
    qv.isClose(sum[i], x * qv.count, 1e-3);
  });
});

await check('named (prepared) statements, custom and generic plans', async () => {
  for (let round = 0; round < 3; round++) {
    for (const query of qv.queries) {
      const found = await ids('SELECT id FROM items ORDER BY v <-> $1 LIMIT 5', [pgvector.toSql(query)], 'nearest');
      qv.isNearest(found, query);
    }
  }
});

await check('a stream (cursor) reads all rows', async () => {
  const found = [];
  await db.query('BEGIN');
  await db.query(qv.oneList);
  const statement = 'SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> $1';
  for await (const row of db.query(new QueryStream(statement, [pgvector.toSql(qv.queries[0])], { batchSize: 100 }))) {
    found.push(row.id);
  }
  await db.query('COMMIT');
  qv.areAllRows(found);
});

await check('halfvec: parameters, index', async () => {
  await db.query(`CREATE TABLE halves (id int, v halfvec(${qv.dim}))`);
  await db.query('INSERT INTO halves SELECT id, v FROM items');
  await db.query('UPDATE halves SET v = $1 WHERE id = 7', [pgvector.toSql(qv.vectors[7])]);
  assert.deepEqual((await rows('SELECT v FROM halves WHERE id = 7'))[0].v, qv.vectors[7]);
  await db.query(`CREATE INDEX halves_v ON halves USING ${qv.method} (v halfvec_l2_ops)`);
  const statement = 'SELECT id FROM halves ORDER BY v <-> $1 LIMIT 10';
  qv.isNearest(await ids(statement, [pgvector.toSql(qv.queries[1])]), qv.queries[1]);
  qv.usesIndex(await rows('EXPLAIN ' + statement, [pgvector.toSql(qv.queries[1])]), 'halves_v');
});

await check('sparsevec: parameters, ORDER BY', async () => {
  await db.query(`CREATE TABLE sparse (id int, v sparsevec(${qv.dim}))`);
  for (const [i, row] of qv.sparse.entries()) {
    await db.query('INSERT INTO sparse VALUES ($1, $2)', [i, pgvector.toSql(new SparseVector(row))]);
  }
  assert.deepEqual((await rows('SELECT v FROM sparse WHERE id = 7'))[0].v.toArray(), qv.sparse[7]);
  const query = pgvector.toSql(new SparseVector(qv.queries[2]));
  qv.isNearest(await ids('SELECT id FROM sparse ORDER BY v <-> $1 LIMIT 10', [query]), qv.queries[2], '<->', qv.sparse);
});

await check('bit: parameters, ORDER BY <~>', async () => {
  await db.query(`CREATE TABLE bits (id int, b bit(${qv.dim}))`);
  for (const [i, row] of qv.bits.entries()) {
    await db.query('INSERT INTO bits VALUES ($1, $2)', [i, row]);
  }
  qv.isNearest(await ids('SELECT id FROM bits ORDER BY b <~> $1 LIMIT 10', [qv.bits[3]]), qv.bits[3], '<~>', qv.bits);
});

await check("wrong dimensions are an error with pgvector's message and SQLSTATE", async () => {
  await assert.rejects(db.query('INSERT INTO items VALUES (-1, $1)', ['[1,2,3]']),
    { code: '22000', message: `expected ${qv.dim} dimensions, not 3` });
});

await db.end();
qv.end();
