// sequelize with npm's pgvector: models with VECTOR and HALFVEC, indexes of the model.
import assert from 'node:assert/strict';
import pgvector from 'pgvector/sequelize';
import Sequelize from 'sequelize';
import * as qv from './quantvec_client.mjs';
import { check } from './quantvec_client.mjs';

qv.client('sequelize', 'sequelize', 'pg', 'pgvector');
const { DataTypes } = Sequelize;
const { searchParams, pathname } = new URL(qv.url.replace('@/', '@localhost/'));
pgvector.registerTypes(Sequelize);
const connect = () => new Sequelize(pathname.slice(1), 'postgres', null,
  { dialect: 'postgres', host: searchParams.get('host'), logging: false });
const sequelize = connect();
const helpers = { '<->': 'l2Distance', '<#>': 'maxInnerProduct', '<=>': 'cosineDistance' };
const Item = sequelize.define('item', {
  id: { type: DataTypes.INTEGER, primaryKey: true },
  v: DataTypes.VECTOR(qv.dim),
  h: DataTypes.HALFVEC(qv.dim),
}, {
  timestamps: false,
  indexes: Object.values(qv.classes).map((ops) => (
    { name: `items_${ops}`, using: qv.method, fields: [{ name: 'v', operator: `vector_${ops}` }] })),
});

await check('create extension, table and indexes (sync)', async () => {
  if (qv.createsExtension) {
    const migration = connect(); // a connection knows the types that are there when it is made
    await migration.query('CREATE EXTENSION IF NOT EXISTS vector');
    await migration.close();
  }
  await Item.sync();
});

await check('bulkCreate and findAll', async () => {
  await Item.bulkCreate(qv.vectors.map((v, id) => ({ id, v, h: v })));
  const rows = await Item.findAll({ order: ['id'] });
  assert.deepEqual(rows.map((row) => row.v), qv.vectors);
  assert.deepEqual(rows.map((row) => row.h), qv.vectors);
});

for (const [operator, ops] of Object.entries(qv.classes)) {
  await check(`index vector_${ops}, ${helpers[operator]}`, async () => {
    let statement;
    for (const query of qv.queries) {
      const rows = await Item.findAll({ attributes: ['id'], order: pgvector[helpers[operator]]('v', query, sequelize), limit: 10,
        logging: (sql) => { statement = sql.replace(/^.*?: /, ''); } });
      qv.isNearest(rows.map((row) => row.id), query, operator);
    }
    qv.usesIndex((await sequelize.query('EXPLAIN ' + statement))[0], `items_${ops}`);
  });
}

await sequelize.close();
qv.end();
