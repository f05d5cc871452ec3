// pgx with pgvector-go: all in binary; CopyFrom, prepared statements, a cursor, a pool.
package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand"
	"os"
	"runtime/debug"
	"sort"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pgvector/pgvector-go"
	pgxvec "github.com/pgvector/pgvector-go/pgx"
)

const (
	dim   = 16
	count = 5000 // as in quantvec_client.py
)

var (
	ctx              = context.Background()
	url, way         = os.Args[1], os.Args[2]
	method           = map[bool]string{true: "hnsw", false: "quantvec"}[way == "vector"]
	createsExtension = way != "quantvec" // CREATE EXTENSION IF NOT EXISTS vector, as an application does
	vectors, queries [][]float32
	sparse           [][]float32
	bits             [][]float32 // 0 or 1
	operators                    = []string{"<->", "<#>", "<=>"}
	classes                      = map[string]string{"<->": "l2_ops", "<#>": "ip_ops", "<=>": "cosine_ops"}
	done, failed     int         = 0, 0
)

// ---- rows, exact answers, one line a check (see quantvec_client.py) ----

// Multiples of 1/256 between -1 and 1: exact in halfvec too.
func makeRows() {
	random := rand.New(rand.NewSource(7))
	vector := func() []float32 {
		row := make([]float32, dim)
		for i := range row {
			row[i] = float32(random.Intn(513)-256) / 256
		}
		return row
	}
	for i := 0; i < count; i++ {
		vectors = append(vectors, vector())
	}
	for i := 0; i < 5; i++ {
		queries = append(queries, vector())
	}
	for _, row := range vectors[:200] {
		few, signs := make([]float32, dim), make([]float32, dim)
		for i, x := range row {
			if x > 0.5 {
				few[i] = x
			}
			if x > 0 {
				signs[i] = 1
			}
		}
		sparse, bits = append(sparse, few), append(bits, signs)
	}
}

func distance(operator string, a, b []float32) float64 {
	var squares, dot, aa, bb float64
	for i := range a {
		x, y := float64(a[i]), float64(b[i])
		squares, dot, aa, bb = squares+(x-y)*(x-y), dot+x*y, aa+x*x, bb+y*y
	}
	switch operator {
	case "<->":
		return math.Sqrt(squares)
	case "<#>":
		return -dot
	case "<=>":
		return 1 - dot/math.Sqrt(aa*bb)
	}
	return squares // <~>: of rows of 0 and 1
}

func assert(ok bool, format string, arguments ...any) {
	if !ok {
		panic(fmt.Errorf(format, arguments...))
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The rows of ids, which are numbers in rows, are the nearest ones, in order. Equal distances may change places.
func isNearest(ids []int32, query []float32, operator string, rows [][]float32) {
	assert(len(ids) > 0, "no row")
	exact := make([]float64, len(rows))
	for i, row := range rows {
		exact[i] = distance(operator, row, query)
	}
	sorted := append([]float64{}, exact...)
	sort.Float64s(sorted)
	seen := map[int32]bool{}
	for i, id := range ids {
		assert(!seen[id], "row %d comes twice", id)
		seen[id] = true
		assert(math.Abs(exact[id]-sorted[i]) < 1e-6, "row %d at place %d: %g, not %g", id, i, exact[id], sorted[i])
	}
}

func equal(a, b []float32) bool {
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return len(a) == len(b)
}

func check(name string, run func()) {
	done++
	defer func() {
		if err := recover(); err != nil {
			failed++
			fmt.Printf("not ok %d - %s\n#   %s\n", done, name, strings.ReplaceAll(fmt.Sprint(err), "\n", "\n#   "))
			return
		}
		fmt.Printf("ok %d - %s\n", done, name)
	}()
	run()
}

func version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return strings.TrimPrefix(dependency.Version, "v")
		}
	}
	return "?"
}

// ---- the client ----

type queryer interface {
	Query(context.Context, string, ...any) (pgx.Rows, error)
}

func ids(db queryer, statement string, arguments ...any) []int32 {
	return must(pgx.CollectRows(must(db.Query(ctx, statement, arguments...)), pgx.RowTo[int32]))
}

func usesIndex(db queryer, index, statement string, arguments ...any) {
	lines := must(pgx.CollectRows(must(db.Query(ctx, "EXPLAIN "+statement, arguments...)), pgx.RowTo[string]))
	assert(strings.Contains(strings.Join(lines, "\n"), "Index Scan using "+index), "%v", lines)
}

func bitString(row []float32) pgtype.Bits {
	bytes := make([]byte, (len(row)+7)/8)
	for i, bit := range row {
		if bit > 0 {
			bytes[i/8] |= 0x80 >> (i % 8)
		}
	}
	return pgtype.Bits{Bytes: bytes, Len: int32(len(row)), Valid: true}
}

func main() {
	fmt.Printf("# pgx for Go: pgx %s, pgvector-go %s\n", version("github.com/jackc/pgx/v5"),
		version("github.com/pgvector/pgvector-go"))
	makeRows()
	db := must(pgx.Connect(ctx, url))
	exec := func(statement string, arguments ...any) { must(db.Exec(ctx, statement, arguments...)) }

	check("CREATE EXTENSION and type registration", func() {
		if createsExtension {
			exec("CREATE EXTENSION IF NOT EXISTS vector")
		}
		must(0, pgxvec.RegisterTypes(ctx, db))
		var value pgvector.Vector
		must(0, db.QueryRow(ctx, "SELECT '[1,2,3]'::vector").Scan(&value))
		assert(equal(value.Slice(), []float32{1, 2, 3}), "%v", value)
	})

	check("create table, insert by parameters", func() {
		exec(fmt.Sprintf("CREATE TABLE items (id int PRIMARY KEY, v vector(%d))", dim))
		for i := 0; i < 100; i++ {
			exec("INSERT INTO items VALUES ($1, $2)", i, pgvector.NewVector(vectors[i]))
		}
		rows := must(db.Query(ctx, "SELECT v FROM items ORDER BY id"))
		for i, value := range must(pgx.CollectRows(rows, pgx.RowTo[pgvector.Vector])) {
			assert(equal(value.Slice(), vectors[i]), "row %d: %v", i, value)
		}
	})

	check("binary COPY in (CopyFrom) and out", func() {
		source := pgx.CopyFromSlice(count-100, func(i int) ([]any, error) {
			return []any{int32(100 + i), pgvector.NewVector(vectors[100+i])}, nil
		})
		copied := must(db.CopyFrom(ctx, pgx.Identifier{"items"}, []string{"id", "v"}, source))
		assert(copied == count-100, "%d rows", copied)
		var out bytes.Buffer
		must(db.PgConn().CopyTo(ctx, &out, "COPY (SELECT v FROM items ORDER BY id) TO STDOUT (FORMAT BINARY)"))
		// 19 bytes of header; for each row 2 and 4 before the value, 4 in it before its numbers; 2 at the end of the file.
		const rowBytes = 2 + 4 + 4 + 4*dim
		assert(out.Len() == 19+count*rowBytes+2, "%d bytes", out.Len())
		for i, row := range vectors {
			var expected []byte
			for _, x := range row {
				expected = binary.BigEndian.AppendUint32(expected, math.Float32bits(x))
			}
			found := out.Bytes()[19+i*rowBytes : 19+(i+1)*rowBytes]
			assert(bytes.Equal(found[10:], expected), "row %d: %v", i, found)
		}
	})

	for _, operator := range operators {
		ops := classes[operator]
		check(fmt.Sprintf("index vector_%s, ORDER BY v %s", ops, operator), func() {
			exec(fmt.Sprintf("CREATE INDEX items_%s ON items USING %s (v vector_%s)", ops, method, ops))
			statement := fmt.Sprintf("SELECT id FROM items ORDER BY v %s $1 LIMIT 10", operator)
			for _, query := range queries {
				isNearest(ids(db, statement, pgvector.NewVector(query)), query, operator, vectors)
			}
			usesIndex(db, "items_"+ops, statement, pgvector.NewVector(queries[0]))
		})
	}

	check("NULL goes in and comes out, and is in no answer", func() {
		exec("INSERT INTO items VALUES ($1, $2)", count, nil)
		var value *pgvector.Vector
		must(0, db.QueryRow(ctx, "SELECT v FROM items WHERE id = $1", count).Scan(&value))
		assert(value == nil, "%v", value)
		query := pgvector.NewVector(queries[0])
		isNearest(ids(db, "SELECT id FROM items ORDER BY v <-> $1 LIMIT 10", query), queries[0], "<->", vectors)
	})

	check("avg and sum", func() {
		var mean, sum pgvector.Vector
		must(0, db.QueryRow(ctx, "SELECT avg(v), sum(v) FROM items").Scan(&mean, &sum))
		for i := 0; i < dim; i++ {
			exact := 0.0
			for _, row := range vectors {
				exact += float64(row[i])
			}
			assert(math.Abs(float64(sum.Slice()[i])-exact) < 1e-3, "%v", sum)
			assert(math.Abs(float64(mean.Slice()[i])-exact/count) < 1e-6, "%v", mean)
		}
	})

	check("prepared statements, custom and generic plans", func() {
		must(db.Prepare(ctx, "nearest", "SELECT id FROM items ORDER BY v <-> $1 LIMIT 5"))
		for round := 0; round < 3; round++ {
			for _, query := range queries {
				isNearest(ids(db, "nearest", pgvector.NewVector(query)), query, "<->", vectors)
			}
		}
	})

	check("a cursor reads all rows", func() {
		transaction := must(db.Begin(ctx))
		defer transaction.Rollback(ctx)
		must(transaction.Exec(ctx, "SET LOCAL quantvec.probes = 1")) // the scan opens the other lists as it goes
		statement := "DECLARE c CURSOR FOR SELECT id FROM items WHERE v IS NOT NULL ORDER BY v <-> $1"
		must(transaction.Exec(ctx, statement, pgvector.NewVector(queries[0])))
		var found []int32
		for {
			some := ids(transaction, "FETCH 100 FROM c")
			if len(some) == 0 {
				break
			}
			found = append(found, some...)
		}
		sort.Slice(found, func(i, j int) bool { return found[i] < found[j] })
		for i := range vectors {
			assert(len(found) == count && found[i] == int32(i), "%d rows", len(found))
		}
	})

	check("halfvec: parameters, binary COPY, index", func() {
		exec(fmt.Sprintf("CREATE TABLE halves (id int, v halfvec(%d))", dim))
		source := pgx.CopyFromSlice(count, func(i int) ([]any, error) {
			return []any{int32(i), pgvector.NewHalfVector(vectors[i])}, nil
		})
		must(db.CopyFrom(ctx, pgx.Identifier{"halves"}, []string{"id", "v"}, source))
		var value pgvector.HalfVector
		must(0, db.QueryRow(ctx, "SELECT v FROM halves WHERE id = 7").Scan(&value))
		assert(equal(value.Slice(), vectors[7]), "%v", value)
		exec(fmt.Sprintf("CREATE INDEX halves_v ON halves USING %s (v halfvec_l2_ops)", method))
		statement, query := "SELECT id FROM halves ORDER BY v <-> $1 LIMIT 10", pgvector.NewHalfVector(queries[1])
		isNearest(ids(db, statement, query), queries[1], "<->", vectors)
		usesIndex(db, "halves_v", statement, query)
	})

	check("sparsevec: parameters, binary COPY, ORDER BY", func() {
		exec(fmt.Sprintf("CREATE TABLE sparse (id int, v sparsevec(%d))", dim))
		source := pgx.CopyFromSlice(len(sparse), func(i int) ([]any, error) {
			return []any{int32(i), pgvector.NewSparseVector(sparse[i])}, nil
		})
		must(db.CopyFrom(ctx, pgx.Identifier{"sparse"}, []string{"id", "v"}, source))
		var value pgvector.SparseVector
		must(0, db.QueryRow(ctx, "SELECT v FROM sparse WHERE id = 7").Scan(&value))
		assert(equal(value.Slice(), sparse[7]), "%v", value)
		query := pgvector.NewSparseVector(queries[2])
		isNearest(ids(db, "SELECT id FROM sparse ORDER BY v <-> $1 LIMIT 10", query), queries[2], "<->", sparse)
	})

	check("bit: parameters, binary COPY, ORDER BY <~>", func() {
		exec(fmt.Sprintf("CREATE TABLE bits (id int, b bit(%d))", dim))
		source := pgx.CopyFromSlice(len(bits), func(i int) ([]any, error) {
			return []any{int32(i), bitString(bits[i])}, nil
		})
		must(db.CopyFrom(ctx, pgx.Identifier{"bits"}, []string{"id", "b"}, source))
		found := ids(db, "SELECT id FROM bits ORDER BY b <~> $1 LIMIT 10", bitString(bits[3]))
		isNearest(found, bits[3], "<~>", bits)
	})

	check("a pool registers the types in each connection", func() {
		config := must(pgxpool.ParseConfig(url))
		config.AfterConnect = pgxvec.RegisterTypes
		pool := must(pgxpool.NewWithConfig(ctx, config))
		defer pool.Close()
		for _, query := range queries {
			found := ids(pool, "SELECT id FROM items ORDER BY v <-> $1 LIMIT 10", pgvector.NewVector(query))
			isNearest(found, query, "<->", vectors)
		}
	})

	check("wrong dimensions are an error with pgvector's message and SQLSTATE", func() {
		_, err := db.Exec(ctx, "INSERT INTO items VALUES (-1, $1)", pgvector.NewVector([]float32{1, 2, 3}))
		var refused *pgconn.PgError
		assert(errors.As(err, &refused), "%v", err)
		expected := fmt.Sprintf("expected %d dimensions, not 3", dim)
		assert(refused.Code == "22000" && refused.Message == expected, "%v", refused)
	})

	fmt.Printf("1..%d\n", done)
	if failed > 0 {
		os.Exit(1)
	}
}
