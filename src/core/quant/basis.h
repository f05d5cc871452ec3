// This file owns the learned basis of pq: the directions along which residuals spread, shared out
// among sub-spaces.
//
// Ge, He, Ke & Sun, "Optimized Product Quantization", TPAMI 2014, section 3.2 (the parametric
// solution): a product quantizer errs least where its sub-spaces are independent and carry equally
// much. The eigenvectors of the residuals' covariance are independent; eigenvalue allocation deals
// them out, the largest first, each to the sub-space that carries least so far.
//
//   covariance [n, n], lower half   AddCovariance, over all residuals
//        |  EigenBegin, EigenStep until it says false: in place
//   eigenvectors [n, n], one a row; values [n], descending
//        |  AllocateBalanced
//   basis [n, n]: row k is the eigenvector order[k]; ApplyBasis gives the coordinates
//
// Difference to the paper: what a direction counts for is not log(value), but log(value / level)
// if above 0, else 0. The level is that of reverse water-filling (Cover & Thomas, "Elements of
// Information Theory", section 10.3.3): values below it get no bits of a good code, and the others'
// logs sum up to 2 ln 2 times all bits. So the units of the vectors do not matter. A direction
// without spread does not count as less than nothing. And equal sums are right for sub-spaces of
// unequal widths, too: each sub-space has bits for as much.
//
// The eigenvectors come by Householder's tridiagonalisation (Martin, Reinsch & Wilkinson, "tred2",
// Numer. Math. 11, 1968) and implicit QL (Dubrulle, Martin & Wilkinson, "The implicit QL
// algorithm", Numer. Math. 12, 1968). Differences: the matrix and the eigenvectors are float,
// arrays of [n] are double. Eigenvectors are rows, so that every inner loop runs over adjacent
// numbers. They are sorted and made orthonormal once more at the end, since thousands of float
// rotations leave 1e-5 of error. Values below 1e-6 of the largest are noise. The same bits on every
// instruction set.
#pragma once

#include "core/quant/pq.h"

namespace quantvec::quant {

// Adds x x^T of the rows x to the covariance: its lower half, row i up to column i. Pieces of 4
// rows and more are twice as fast as single ones. x [rows, n]; covariance [n, n], zero at first.
void AddCovariance(const float* x, std::size_t rows, std::size_t n, float* covariance);

// ---- eigenvectors of a symmetric matrix, in steps ----

struct Eigen {
    std::size_t n;   // at least 1
    float* vectors;  // [n, n]; in: the lower half of the matrix; out: eigenvectors, one a row
    double* values;  // [n]; out: eigenvalues, descending
    double* off;     // [n] workspace
    float* work;     // [n] workspace

    enum class Phase { kReduce, kAccumulate, kRotate, kOrder, kDone, kFailed };
    Phase phase;
    std::size_t at;       // row or eigenvalue at which the phase stands
    unsigned iterations;  // for the eigenvalue `at`
    double unit;          // the matrix is divided by it
};
// Fills in `phase` and the members after it. O(n^2), as a step.
void EigenBegin(Eigen& eigen);
// There are some 5 n steps. False: this was the last one. Then phase is kDone, or kFailed if a
// number of the matrix is not finite (vectors and values mean nothing then).
bool EigenStep(Eigen& eigen);

// ---- the basis ----

// order[k] = index of the eigenvalue whose vector becomes dimension k (sub-spaces as in PqBegin).
// spec: padded_dim, m in [1, padded_dim], bits. eigenvalues [padded_dim], descending; load [m]
// workspace; order [padded_dim].
void AllocateBalanced(const Spec& spec, const double* eigenvalues, double* load,
                      std::uint32_t* order);

// out[k] = <basis row k, x>. basis [n, n]; x, out [n], apart. Code-making: the same bits on every
// instruction set.
void ApplyBasis(const float* basis, const float* x, std::size_t n, float* out);

}  // namespace quantvec::quant
