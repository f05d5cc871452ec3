// knex with npm's pgvector: its schema builder makes extension, columns and indexes.
import assert from 'node:assert/strict';
import Knex from 'knex';
import connectionString from 'pg-connection-string';
import pgvector from 'pgvector/knex';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('knex', 'knex', 'pg', 'pgvector');
// knex itself does not see a socket's folder in a connection string.
const knex = Knex({ client: 'pg', connection: connectionString.parse(qv.url) });
const helpers = { '<->': 'l2Distance', '<#>': 'maxInnerProduct', '<=>': 'cosineDistance' };

await check('enableExtension, createTable with vector and halfvec', async () => {
  await knex.schema.enableExtension(qv.createsExtension ? 'vector' : 'quantvec');
  await knex.schema.createTable('items', (table) => {
    table.integer('id').primary();
    table.vector('v', { dimensions: qv.dim });
    table.halfvec('h', { dimensions: qv.dim });
  });
});

await check('insert and read', async () => {
  await knex.batchInsert('items', qv.vectors.map((v, id) => ({ id, v: pgvector.toSql(v), h: pgvector.toSql(v) })), 200);
  const rows = await knex('items').orderBy('id');
  assert.deepEqual(rows.map((row) => pgvector.fromSql(row.v)), qv.vectors);
  assert.deepEqual(rows.map((row) => pgvector.fromSql(row.h)), qv.vectors);
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ${helpers[operator]}`, async () => {
    await knex.schema.alterTable('items', (table) => {
      table.index(knex.raw(`v vector_${ops}`), `items_${ops}`, qv.method);
    });
    for (const query of qv.queries) {
      const nearest = knex('items').select('id').orderBy(knex[helpers[operator]]('v', query)).limit(10);
      qv.isNearest((await nearest).map((row) => row.id), query, operator);
    }
    const { sql, bindings } = knex('items').select('id').orderBy(knex[helpers[operator]]('v', qv.queries[0])).limit(10).toSQL();
    qv.usesIndex((await knex.raw('EXPLAIN ' + sql, bindings)).rows, `items_${ops}`);
  });
}

await check('avg', async () => {
  const [{ avg }] = await knex('items').avg('v as avg');
  qv.mean(qv.vectors).forEach((x, i) => qv.isClose(pgvector.fromSql(avg)[i], x));
});

await knex.destroy();
qv.end();
