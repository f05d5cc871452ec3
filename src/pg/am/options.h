// Index options (CREATE INDEX ... WITH) and session settings: names, defaults, bounds.
#pragma once

#include "core/quant/quantizer.h"
#include "pg/am/opclass.h"
#include "pg/pg.h"

namespace quantvec::pg {

inline constexpr int kMaxLists = 1000000;
inline constexpr int kMaxRerankCandidates = 100000;

// Laid out by the server's build_reloptions. What an index is made of is frozen in its metapage;
// of these only `probes` is read after the build.
struct IndexOptions {
    int32 vl_len_;
    int quantizer;  // quant::Kind
    int bits;       // bq: bits a dimension
    int levels;     // sq4: quant::Levels
    int pq_m;       // pq: sub-quantizers; 0: dim / 8
    int pq_bits;    // pq: bits of a sub-quantizer, 4 or 8
    int lists;      // 0: from the row count
    int probes;     // 0: from the number of lists
};

// What an index without options has.
IndexOptions DefaultOptions();
// The options of an index, defaults filled in.
IndexOptions OptionsOf(Relation index);
// The code that they ask for, for values of `dim` dimensions; pq without codebooks, bits and sets
// without the way back. Bits have one code for each metric, whatever the options.
quant::Spec SpecOf(const IndexOptions& options, Element element, Metric metric, std::size_t dim);
// Raises an error if the options choose a code where there is but one.
void CheckOptionsFor(const IndexOptions& options, Element element);
// amoptions.
bytea* AmOptions(Datum reloptions, bool validate);

enum IterativeScan { kIterativeOff, kIterativeStrict, kIterativeRelaxed };

// Settings of the session.
extern int setting_probes;             // quantvec.probes
extern double setting_epsilon;         // quantvec.epsilon
extern bool setting_rerank;            // quantvec.rerank
extern int setting_rerank_candidates;  // quantvec.rerank_candidates
extern int setting_iterative_scan;     // quantvec.iterative_scan
extern int setting_max_scan_tuples;    // quantvec.max_scan_tuples
extern int setting_model_cache_size;   // quantvec.model_cache_size, kB

// Lists that a scan is to probe first, by the setting, or else by the index; 0: neither says.
int WishedProbes(const IndexOptions& options);
// Lists that a scan probes first. Where nobody wishes a number it is ceil(3 sqrt(lists)), which
// gave recall@10 of about .95 or more on the sets of bench/README.md.
int ProbesFor(int wished, int lists);
// As the option has it; nullptr: there is no such code.
const char* QuantizerName(quant::Kind kind);

// Declares options and settings; called once, by _PG_init.
void InitOptions();

}  // namespace quantvec::pg
