-- Other extensions stay away: pgvector's script looks for a type "vector" in its own schema only, and one in another
-- schema would make every unqualified "vector" depend on the search path. Before the command its name is looked at, after
-- it what CASCADE has brought along.

CREATE FUNCTION quantvec_keep_alone() RETURNS event_trigger
	AS 'MODULE_PATHNAME' LANGUAGE C;
COMMENT ON FUNCTION quantvec_keep_alone() IS
	'refuses CREATE EXTENSION vector and quantvec_pgvector, in whose place quantvec is';

CREATE EVENT TRIGGER quantvec_keep_alone ON ddl_command_start
	WHEN TAG IN ('CREATE EXTENSION')
	EXECUTE FUNCTION quantvec_keep_alone();
COMMENT ON EVENT TRIGGER quantvec_keep_alone IS
	'refuses CREATE EXTENSION vector and quantvec_pgvector, in whose place quantvec is';

CREATE EVENT TRIGGER quantvec_keep_alone_cascade ON ddl_command_end
	WHEN TAG IN ('CREATE EXTENSION')
	EXECUTE FUNCTION quantvec_keep_alone();
COMMENT ON EVENT TRIGGER quantvec_keep_alone_cascade IS
	'refuses CREATE EXTENSION .. CASCADE of what requires extension vector, in whose place quantvec is';
