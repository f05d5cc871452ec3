// kysely with npm's pgvector: its schema builder and distance functions.
import assert from 'node:assert/strict';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import pgvector from 'pgvector/kysely';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('kysely', 'kysely', 'pg', 'pgvector');
const db = new Kysely({ dialect: new PostgresDialect({ pool: new pg.Pool({ connectionString: qv.url }) }) });
const helpers = { '<->': 'l2Distance', '<#>': 'maxInnerProduct', '<=>': 'cosineDistance' };

await check('create extension and table', async () => {
  if (qv.createsExtension) {
    await sql`CREATE EXTENSION IF NOT EXISTS vector`.execute(db);
  }
  await db.schema.createTable('items').addColumn('id', 'integer', (column) => column.primaryKey())
    .addColumn('v', sql.raw(`vector(${qv.dim})`)).execute();
});

await check('insert and read', async () => {
  await db.insertInto('items').values(qv.vectors.map((v, id) => ({ id, v: pgvector.toSql(v) }))).execute();
  const rows = await db.selectFrom('items').selectAll().orderBy('id').execute();
  assert.deepEqual(rows.map((row) => pgvector.fromSql(row.v)), qv.vectors);
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ${helpers[operator]}`, async () => {
    await db.schema.createIndex(`items_${ops}`).on('items').using(qv.method).expression(sql.raw(`v vector_${ops}`)).execute();
    const nearest = (query) => db.selectFrom('items').select('id').orderBy(pgvector[helpers[operator]]('v', query)).limit(10);
    for (const query of qv.queries) {
      qv.isNearest((await nearest(query).execute()).map((row) => row.id), query, operator);
    }
    qv.usesIndex((await sql`EXPLAIN ${nearest(qv.queries[0])}`.execute(db)).rows, `items_${ops}`);
  });
}

await db.destroy();
qv.end();
