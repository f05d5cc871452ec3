// postgres.js with npm's pgvector: tagged templates, which are prepared statements, and cursors.
import assert from 'node:assert/strict';
import pgvector from 'pgvector';
import postgres from 'postgres';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('postgres.js', 'postgres', 'pgvector');
// It does not see a socket's folder in a connection string.
const { searchParams, pathname } = new URL(qv.url.replace('@/', '@localhost/'));
const sql = postgres({ host: searchParams.get('host'), database: pathname.slice(1), username: 'postgres', onnotice: () => {} });

await check('create extension and table', async () => {
  if (qv.createsExtension) {
    await sql`CREATE EXTENSION IF NOT EXISTS vector`;
  }
  await sql`CREATE TABLE items (id int PRIMARY KEY, v vector(${sql.unsafe(String(qv.dim))}))`;
});

await check('insert and read', async () => {
  const rows = qv.vectors.map((v, id) => ({ id, v: pgvector.toSql(v) }));
  await sql`INSERT INTO items ${sql(rows)}`;
  const found = await sql`SELECT v FROM items ORDER BY id`;
  assert.deepEqual(found.map((row) => pgvector.fromSql(row.v)), qv.vectors);
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ORDER BY v ${operator}`, async () => {
    await sql`CREATE INDEX ${sql('items_' + ops)} ON items USING ${sql(qv.method)} (v ${sql('vector_' + ops)})`;
    const nearest = (query) => sql`SELECT id FROM items ORDER BY v ${sql.unsafe(operator)} ${pgvector.toSql(query)} LIMIT 10`;
    for (const query of qv.queries) {
      qv.isNearest((await nearest(query)).map((row) => row.id), query, operator);
    }
    qv.usesIndex(await sql`EXPLAIN ${nearest(qv.queries[0])}`, `items_${ops}`);
  });
}

await check('avg', async () => {
  const [{ avg }] = await sql`SELECT avg(v) FROM items`;
  qv.mean(qv.vectors).forEach((x, i) => qv.isClose(pgvector.fromSql(avg)[i], x));
});

await check('a cursor reads all rows', async () => {
  const found = [];
  await sql.begin(async (transaction) => {
    await transaction.unsafe(qv.oneList);
    const query = pgvector.toSql(qv.queries[0]);
    for await (const rows of transaction`SELECT id FROM items ORDER BY v <-> ${query}`.cursor(100)) {
      found.push(...rows.map((row) => row.id));
    }
  });
  qv.areAllRows(found);
});

await sql.end();
qv.end();
