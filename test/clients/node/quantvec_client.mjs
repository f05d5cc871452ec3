// What the clients for Node share: the rows, the exact answers, and one line a check. See quantvec_client.py.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';

export const [url, way] = process.argv.slice(2);
export const method = way === 'vector' ? 'hnsw' : 'quantvec';
export const createsExtension = way !== 'quantvec'; // CREATE EXTENSION IF NOT EXISTS vector, as an application does

export const dim = 16;
export const count = 5000; // as in quantvec_client.py

// Multiples of 1/256 between -1 and 1, from a generator that is the same everywhere: exact in halfvec too.
let state = 7;
function next() {
  state = (Math.imul(state, 1103515245) + 12345) >>> 0;
  return ((state >>> 16) % 513 - 256) / 256;
}
const vector = () => Array.from({ length: dim }, next);
export const vectors = Array.from({ length: count }, vector);
export const queries = Array.from({ length: 5 }, vector);
export const sparse = vectors.slice(0, 200).map((row) => row.map((x) => (x > 0.5 ? x : 0)));
export const bits = vectors.slice(0, 200).map((row) => row.map((x) => (x > 0 ? '1' : '0')).join(''));

const dot = (a, b) => a.reduce((sum, x, i) => sum + x * b[i], 0);
export const distances = {
  '<->': (a, b) => Math.sqrt(a.reduce((sum, x, i) => sum + (x - b[i]) ** 2, 0)),
  '<#>': (a, b) => -dot(a, b),
  '<=>': (a, b) => 1 - dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b)),
  '<~>': (a, b) => [...a].filter((bit, i) => bit !== b[i]).length,
};
export const classes = { '<->': 'l2_ops', '<#>': 'ip_ops', '<=>': 'cosine_ops' };

export function isClose(a, b, tolerance = 1e-6) {
  assert.ok(Math.abs(a - b) <= tolerance, `${a} and ${b}`);
}

// The rows of ids, which are numbers in rows, are the nearest ones, in order. Equal distances may change places.
export function isNearest(ids, query, operator = '<->', rows = vectors) {
  assert.equal(new Set(ids).size, ids.length, 'a row comes twice');
  assert.ok(ids.length > 0, 'no row');
  const exact = rows.map((row) => distances[operator](row, query));
  const sorted = [...exact].sort((a, b) => a - b);
  ids.forEach((id, i) => isClose(exact[id], sorted[i]));
}

// A cursor has come to the end. oneList makes the scan open the other lists as it goes.
export const oneList = 'SET LOCAL quantvec.probes = 1';
export function areAllRows(ids) {
  assert.deepEqual([...ids].sort((a, b) => a - b), vectors.map((_, i) => i));
}

export function usesIndex(lines, index) {
  const plan = lines.map((line) => line['QUERY PLAN']).join('\n');
  assert.ok(plan.includes(`Index Scan using ${index}`), plan);
}

export const mean = (rows) => rows[0].map((_, i) => rows.reduce((sum, row) => sum + row[i], 0) / rows.length);

export function client(name, ...packages) {
  const version = (p) => JSON.parse(readFileSync(`node_modules/${p}/package.json`)).version;
  const versions = packages.map((p) => `${p === 'pgvector' ? 'pgvector-node' : p} ${version(p)}`);
  console.log(`# ${name}: ${versions.join(', ')}`);
}

let done = 0;
let failed = 0;

export async function check(name, run) {
  done += 1;
  try {
    await run();
    console.log(`ok ${done} - ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`not ok ${done} - ${name}`);
    console.log('#   ' + String(error.stack).split('\n').slice(0, 6).join('\n#   '));
  }
}

export function end() {
  console.log(`1..${done}`);
  process.exitCode = failed > 0 ? 1 : 0;
}
