// Reads the model from the index: whole, or an entry or a centroid of it.
#pragma once

#include "pg/am/storage/model.h"

namespace quantvec::pg {

// The model read anew, in the current context. nullptr: the metapage names another by now.
Model* ReadModel(Relation index, const MetaPage& meta);
// Reads all directory entries again; false: the index has another model by now.
bool RefreshEntries(Relation index, Model& model);

// Reads the directory entry of list number `list` again.
ivf::ListEntry ReadEntry(Relation index, const Model& model, std::uint32_t list);
// The centroid of list number `list` [padded_dim], rotated and centred on the mean; valid until the
// next call with this scratch [padded_dim], which is needed where model.centroids is nullptr.
// Empty: the index has another model by now.
ConstFloatSpan CentroidOf(Relation index, Model& model, std::uint32_t list, FloatSpan scratch);

}  // namespace quantvec::pg
