-- CREATE EXTENSION: beside what is named "vector" already.

\set SHOW_CONTEXT never
SELECT current_database() AS before \gset
CREATE DATABASE regress_quantvec_names;
\c regress_quantvec_names

-- a type of that name, in whatever schema: there may not be two
CREATE SCHEMA other;
CREATE TYPE other.vector;
SET client_min_messages = warning;
CREATE FUNCTION other.vector_in(cstring) RETURNS other.vector LANGUAGE internal IMMUTABLE STRICT AS 'textin';
CREATE FUNCTION other.vector_out(other.vector) RETURNS cstring LANGUAGE internal IMMUTABLE STRICT AS 'textout';
CREATE TYPE other.vector (INPUT = other.vector_in, OUTPUT = other.vector_out);
RESET client_min_messages;
CREATE EXTENSION quantvec;
\echo :LAST_ERROR_SQLSTATE
-- one that belongs to an extension: which one is told
ALTER EXTENSION plpgsql ADD TYPE other.vector;
CREATE EXTENSION quantvec;
\echo :LAST_ERROR_SQLSTATE
ALTER EXTENSION plpgsql DROP TYPE other.vector;
SET client_min_messages = warning;
DROP SCHEMA other CASCADE;
RESET client_min_messages;

-- a table of that name has a row type of that name, which is in the way in its own schema only
CREATE TABLE vector (id int);
CREATE EXTENSION quantvec;
\echo :LAST_ERROR_SQLSTATE
CREATE SCHEMA other;
CREATE EXTENSION quantvec SCHEMA other;
SELECT '[1,2]'::other.vector(2);
DROP EXTENSION quantvec;
DROP TABLE vector;
CREATE DOMAIN other.vector AS text;
CREATE EXTENSION quantvec;
SELECT '[1,2]'::vector(2);

-- nor may a second type come after it, in whatever schema and whether or not pgvector is installed
\set VERBOSITY terse
CREATE EXTENSION vector;
CREATE EXTENSION IF NOT EXISTS vector SCHEMA other;
\echo :LAST_ERROR_SQLSTATE
CREATE EXTENSION quantvec_pgvector CASCADE;
\set VERBOSITY default
CREATE EXTENSION IF NOT EXISTS quantvec;
CREATE EXTENSION plpgsql;
CREATE SCHEMA third;
ALTER EXTENSION quantvec SET SCHEMA third;
SELECT '[1,2]'::third.halfvec(2);
CREATE EXTENSION vector;
DROP EXTENSION quantvec;
SELECT count(*) FROM pg_event_trigger;

\c :before
DROP DATABASE regress_quantvec_names;
