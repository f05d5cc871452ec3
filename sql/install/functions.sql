-- The functions that look inside.

CREATE FUNCTION quantvec_index_info(
        index regclass,
        OUT quantizer text,
        OUT bits integer,
        OUT metric text,
        OUT dim integer,
        OUT padded_dim integer,
        OUT trained boolean,
        OUT lists integer,
        OUT rows bigint,
        OUT dead_share double precision,
        OUT longest_list bigint,
        OUT list_skew double precision,
        OUT meta_pages bigint,
        OUT model_pages bigint,
        OUT directory_pages bigint,
        OUT scan_pages bigint,
        OUT refine_pages bigint,
        OUT free_pages bigint,
        OUT scan_row_bytes double precision,
        OUT refine_row_bytes double precision,
        OUT incompatible_features bigint,
        OUT compatible_features bigint,
        OUT rows_trained bigint,
        OUT drift double precision,
        OUT advice text)
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION quantvec_index_info(regclass) IS
'one row about a quantvec index, read from all of its pages: what its codes are, whether it was trained on enough rows, lists, rows, share of dead rows, list-length skew (lists * sum n^2 / (sum n)^2; 1 is even), pages by layer (their sum is the size of the relation), bytes a row by layer, how many rows its lists were made for (0: it was not trained), drift of the data since (mean square distance of rows from the centers of their lists now, from a sample of 1,000, against then; 1 is none; NULL if not trained, and for an index on an expression), and what VACUUM or REINDEX would do for it (NULL: nothing). Needs SELECT on the table, and is refused where row security policies hide rows of it.';

CREATE FUNCTION quantvec_check(
        index regclass,
        heapallindexed boolean DEFAULT false,
        OUT lists integer,
        OUT pages bigint,
        OUT free_pages bigint,
        OUT leaked_pages bigint,
        OUT blocks bigint,
        OUT live_rows bigint,
        OUT dead_slots bigint,
        OUT table_rows_checked bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION quantvec_check(regclass, boolean) IS
'proves that a quantvec index is sound, or raises an error that names the first damage: walks every page, list and block; with heapallindexed also compares the table: every row has one entry, whose code is what encoding the row again gives. Blocks neither reads nor writes, only VACUUM; for the owner of the index. One row: lists, pages, free ones, pages that a crash left behind (harmless; VACUUM frees them), blocks of 32 slots, live rows, slots of rows that are gone, rows compared (NULL without heapallindexed).';

CREATE FUNCTION quantvec_last_scan(
        OUT index regclass,
        OUT lists bigint,
        OUT scanned bigint,
        OUT refined bigint,
        OUT reranked bigint,
        OUT returned bigint,
        OUT late bigint,
        OUT dropped bigint,
        OUT revisited bigint,
        OUT stopped text,
        OUT restarts bigint)
    AS 'MODULE_PATHNAME' LANGUAGE C VOLATILE STRICT PARALLEL RESTRICTED;
COMMENT ON FUNCTION quantvec_last_scan() IS
'what the last finished quantvec index scan of this session did: lists probed, codes scanned, rows refined by further bits, rows reranked from the table, rows returned, how many of them came too late for strict order and were returned last, rows that came too late and were not returned because the scan ended before, blocks scanned again because more rows were wanted than expected, why it stopped, and how often it started over because VACUUM had moved a list under it. All NULL before the first scan.';
