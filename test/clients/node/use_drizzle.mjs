// drizzle: its own column types and distance functions.
import assert from 'node:assert/strict';
import { avg, cosineDistance, innerProduct, l2Distance, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { halfvec, integer, pgTable, vector } from 'drizzle-orm/pg-core';
import pg from 'pg';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('drizzle', 'drizzle-orm', 'pg');
const pool = new pg.Pool({ connectionString: qv.url });
const db = drizzle(pool);
const items = pgTable('items', {
  id: integer('id').primaryKey(),
  v: vector('v', { dimensions: qv.dim }),
  h: halfvec('h', { dimensions: qv.dim }),
});
const helpers = { '<->': l2Distance, '<#>': innerProduct, '<=>': cosineDistance };

await check('create extension and table', async () => {
  if (qv.createsExtension) {
    await db.execute(sql`CREATE EXTENSION IF NOT EXISTS vector`);
  }
  const { v, h } = items;
  await db.execute(sql.raw(`CREATE TABLE items (id int PRIMARY KEY, v ${v.getSQLType()}, h ${h.getSQLType()})`));
});

await check('insert and read', async () => {
  await db.insert(items).values(qv.vectors.map((v, id) => ({ id, v, h: v })));
  const rows = await db.select().from(items).orderBy(items.id);
  assert.deepEqual(rows.map((row) => row.v), qv.vectors);
  assert.deepEqual(rows.map((row) => row.h), qv.vectors);
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ${helpers[operator].name}`, async () => {
    await db.execute(sql.raw(`CREATE INDEX items_${ops} ON items USING ${qv.method} (v vector_${ops})`));
    const nearest = (query) => db.select({ id: items.id }).from(items).orderBy(helpers[operator](items.v, query)).limit(10);
    for (const query of qv.queries) {
      qv.isNearest((await nearest(query)).map((row) => row.id), query, operator);
    }
    qv.usesIndex((await db.execute(sql`EXPLAIN ${nearest(qv.queries[0])}`)).rows, `items_${ops}`);
  });
}

await check('avg', async () => {
  const [{ mean }] = await db.select({ mean: avg(items.v).mapWith(items.v) }).from(items);
  qv.mean(qv.vectors).forEach((x, i) => qv.isClose(mean[i], x));
});

await pool.end();
qv.end();
