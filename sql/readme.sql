-- The example of the README, as a user would type it.
CREATE TABLE items (id bigserial PRIMARY KEY, embedding vector(3));
INSERT INTO items (embedding) VALUES ('[1,2,3]'), ('[4,5,6]'), ('[7,8,9]');
CREATE INDEX ON items USING quantvec (embedding vector_l2_ops);
SELECT id, embedding <-> '[3,1,2]' AS distance FROM items ORDER BY embedding <-> '[3,1,2]' LIMIT 2;
-- The same from the index (so small a table is scanned otherwise).
SET enable_seqscan = off;
EXPLAIN (COSTS OFF) SELECT id FROM items ORDER BY embedding <-> '[3,1,2]' LIMIT 2;
SELECT id, embedding <-> '[3,1,2]' AS distance FROM items ORDER BY embedding <-> '[3,1,2]' LIMIT 2;
SELECT quantizer, bits, metric, dim, trained, lists, rows FROM quantvec_index_info('items_embedding_idx');
SELECT lists, scanned, returned, stopped FROM quantvec_last_scan();
DROP TABLE items;
