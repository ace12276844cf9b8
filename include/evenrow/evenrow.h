/* The batch normalization operator for C (C11) and for what calls C. C++ has evenrow.hpp.
 *
 *   evenrow_saved* saved = NULL;
 *   evenrow_saved_create(&saved);
 *   const evenrow_train_tensors t = {.type = EVENROW_F32, .shape = {64, 256, 49},
 *                                    .x = {.values = x, .count = n},
 *                                    .y = {.values = y, .count = n},
 *                                    .gamma = g, .gamma_count = 256};
 *   if (evenrow_batch_norm_train(&t, NULL, saved) != EVENROW_OK) puts(evenrow_last_error());
 *   evenrow_saved_destroy(saved);
 *
 * A struct of arguments is filled in by name; a field that is left out is 0, which is "none", and
 * is refused where something must be given. The structs carry no size of their own: a library of
 * another layout has another file name (libevenrow.so.MAJOR.MINOR), so that no program meets it,
 * and a size would be one more field to get wrong. Enumerations are stored as int32_t, whose size
 * every language knows.
 *
 * Every buffer comes with its number of values (not bytes), and is checked against the shape.
 * Buffers are the caller's; no call keeps a pointer to one after it returns.
 *
 * Thread safety: any function may be called from several threads, on different outputs and
 * handles; several threads may read one handle together. The last error is of each thread alone.
 */
#ifndef EVENROW_EVENROW_H
#define EVENROW_EVENROW_H

#include <stdint.h>

#ifdef __cplusplus
#define EVENROW_NOEXCEPT noexcept
extern "C" {
#else
#define EVENROW_NOEXCEPT
#endif

/* ---- Errors ---------------------------------------------------------------------------------- */

/* What a function that can fail returns. One that did not return EVENROW_OK has written to no
 * buffer, unless memory ran out or the error is internal. */
typedef int32_t evenrow_status;
enum {
  EVENROW_OK = 0,
  EVENROW_USAGE = 1,         /* A caller's mistake: the message names the argument. */
  EVENROW_DATA = 2,          /* The content of a file; no function here reads one yet. */
  EVENROW_IO = 3,            /* The operating system refused; no function here asks it yet. */
  EVENROW_TRAINING = 4,      /* Training cannot go on; no function here trains a network yet. */
  EVENROW_OUT_OF_MEMORY = 5, /* The call may be repeated when there is more. */
  EVENROW_INTERNAL = 6       /* A mistake of Evenrow itself: please report the message. */
};

/* The message of this thread's last call that failed, "" if none did; never NULL. It says what was
 * expected, what was found and what to do, in the words of the C++ library, whose functions have
 * the same names without `evenrow_`. Valid until a call of this thread fails or the thread ends;
 * a call that succeeds leaves it. */
const char* evenrow_last_error(void) EVENROW_NOEXCEPT;

/* The version of the library that runs, such as "0.1.0". */
const char* evenrow_version(void) EVENROW_NOEXCEPT;

/* ---- Tensors --------------------------------------------------------------------------------- */

/* What a tensor's values are. The two of 16 bits are storage: a value is read as a float,
 * everything is computed as for float, and y or dx is rounded once, when it is stored. "Parameters"
 * below (gamma, beta, dgamma, dbeta) are double for EVENROW_F64, else float. */
typedef int32_t evenrow_type;
enum {
  EVENROW_F32 = 1,  /* float */
  EVENROW_F64 = 2,  /* double */
  EVENROW_BF16 = 3, /* the upper half of a float */
  EVENROW_F16 = 4   /* IEEE 754 binary16 */
};

/* Every layout is [outer, channels, inner], last axis contiguous. A column is one instance of all
 * channels; there are outer * inner of them, and column (o, i) has the index o * inner + i.
 *   NCHW, NCL               {batch, channels, positions}
 *   NHWC, NLC               {batch * positions, channels, 1}
 *   row-major [m, C]        {m, C, 1}, as NumPy and PyTorch have it
 *   feature-major [C, m]    {1, C, m} */
typedef struct evenrow_shape {
  int64_t outer;
  int64_t channels;
  int64_t inner;
} evenrow_shape;

/* A tensor that is only read. Value (o, c, i) is values[o * outer_stride + c * channel_stride + i].
 * Both strides 0: dense, and count is exactly outer * channels * inner; else count is at least what
 * the strides reach. A view has contiguous segments of `inner` values, or (inner 1) contiguous
 * columns of channels; any other is refused. */
typedef struct evenrow_const_tensor {
  const void* values;
  int64_t count;
  int64_t outer_stride;
  int64_t channel_stride;
} evenrow_const_tensor;

/* The same for one that is written. */
typedef struct evenrow_tensor {
  void* values;
  int64_t count;
  int64_t outer_stride;
  int64_t channel_stride;
} evenrow_tensor;

/* Which columns count. Everything computed is exactly what it would be with the other columns
 * removed: they change no statistic, their y and dx are 0, and what they hold (NaN included) does
 * not matter. At most one of the three is given; none: all columns. */
typedef struct evenrow_validity {
  const uint8_t* mask; /* One byte a column, 0: not valid. */
  int64_t mask_count;
  const int64_t* lengths; /* Valid time steps of each of lengths_count sequences, which are of equal
                             padded length, one after the other in the columns. */
  int64_t lengths_count;
  const float* weights; /* One a column, finite, >= 0; 0: not valid. mean = sum(w x) / sum(w). */
  int64_t weights_count;
} evenrow_validity;

enum { EVENROW_NO_ACTIVATION = 0, EVENROW_RELU = 1 };

/* Begin with EVENROW_DEFAULT_OPTIONS or evenrow_default_options(), which are the same: a struct of
 * zeros has eps 0. Where a function takes options, NULL is the default. */
typedef struct evenrow_options {
  double eps;         /* Added to the variance; finite, >= 0. Default 1e-5. */
  int32_t activation; /* Fused after the normalization: EVENROW_NO_ACTIVATION or EVENROW_RELU. */
  int32_t threads;    /* Default 0: all that the process may use. Never changes a bit. */
} evenrow_options;
#define EVENROW_DEFAULT_OPTIONS \
  { 1e-5, EVENROW_NO_ACTIVATION, 0 }
evenrow_options evenrow_default_options(void) EVENROW_NOEXCEPT;

/* ---- Statistics ------------------------------------------------------------------------------ */

/* What a training forward pass leaves for the backward pass and for the running statistics. One may
 * be given to any number of forward passes, one after the other: its memory is used again. Empty
 * when created. Errors: out of memory; NULL. Destroying NULL does nothing. */
typedef struct evenrow_saved evenrow_saved;
evenrow_status evenrow_saved_create(evenrow_saved** saved) EVENROW_NOEXCEPT;
void evenrow_saved_destroy(evenrow_saved* saved) EVENROW_NOEXCEPT;

/* The statistics of a forward pass; the pointers are valid until `saved` is given to another one or
 * destroyed. */
typedef struct evenrow_batch_statistics {
  int64_t count;                 /* Valid columns. */
  double weight;                 /* n: count, or the sum of the weights. */
  int64_t channels;              /* How many values each of the next two has. */
  const double* mean;            /* sum(x) / n */
  const double* biased_variance; /* sum((x - mean)^2) / n */
} evenrow_batch_statistics;
/* Errors (usage): NULL; a `saved` without a forward pass. */
evenrow_status evenrow_saved_statistics(const evenrow_saved* saved,
                                        evenrow_batch_statistics* statistics) EVENROW_NOEXCEPT;

/* Running statistics, which inference uses; created with mean 0 and variance 1.
 *   running = (1 - new_weight) * running + new_weight * batch, the variance being the biased one
 * new_weight is in (0, 1], 0.1 as a rule; frameworks that call it momentum may mean 1 - new_weight.
 * Errors of create: out of memory; usage: NULL, a negative number of channels. */
typedef struct evenrow_running evenrow_running;
evenrow_status evenrow_running_create(int64_t channels, double new_weight,
                                      evenrow_running** running) EVENROW_NOEXCEPT;
void evenrow_running_destroy(evenrow_running* running) EVENROW_NOEXCEPT;

/* Commits the batch statistics of one forward pass: a step of its own, so that a bad mini-batch can
 * be dropped. A batch without valid columns changes nothing. Errors (usage): NULL; a `saved`
 * without a forward pass, or of another number of channels; new_weight outside (0, 1]. */
evenrow_status evenrow_running_update(evenrow_running* running,
                                      const evenrow_saved* saved) EVENROW_NOEXCEPT;

/* The pointers are valid until `running` is destroyed; an update changes what they point to. */
typedef struct evenrow_running_values {
  int64_t updates;  /* Committed so far. */
  int64_t channels; /* How many values each of the next two has. */
  const double* mean;
  const double* variance;
} evenrow_running_values;
/* Errors (usage): NULL. */
evenrow_status evenrow_running_get(const evenrow_running* running,
                                   evenrow_running_values* values) EVENROW_NOEXCEPT;

/* ---- The operator ---------------------------------------------------------------------------- */

/* Optional tensors and parameters are NULL with a count of 0; parameters are one a channel. */

typedef struct evenrow_train_tensors {
  evenrow_type type;   /* Of x, residual and y. */
  evenrow_shape shape; /* Of x, residual and y. */
  evenrow_const_tensor x;
  evenrow_tensor y;              /* May be x or residual itself; must not overlap otherwise. */
  evenrow_const_tensor residual; /* Added before the activation; optional. */
  const void* gamma;             /* Optional: all 1. */
  int64_t gamma_count;
  const void* beta; /* Optional: all 0. */
  int64_t beta_count;
  evenrow_validity valid;
} evenrow_train_tensors;

/* Training forward. For each channel, over its n valid columns:
 *   mean = sum(x) / n,  var = sum((x - mean)^2) / n,
 *   y = act(gamma * (x - mean) / sqrt(var + eps) + beta + residual)
 * The same bits for any number of threads, in place or not. Without a valid column y is 0 and count
 * is 0. With y == x the backward pass needs a copy of the original x.
 * Errors (usage): NULL for `tensors` or `saved`; an unknown type; a buffer that is NULL but has a
 * count, has no count, or is not aligned to its values; sizes that do not match the shape, are
 * negative or overflow; strides of no view; eps negative or not finite; an activation other than
 * the two; buffers that overlap without being equal; two kinds of validity, lengths negative or too
 * long, weights negative or not finite; one valid column, whose variance is 0 by construction.
 * After one of them `saved` is as it was; when memory ran out it is empty, as it was created.
 * Accuracy: docs/numerics.md. */
evenrow_status evenrow_batch_norm_train(const evenrow_train_tensors* tensors,
                                        const evenrow_options* options,
                                        evenrow_saved* saved) EVENROW_NOEXCEPT;

typedef struct evenrow_backward_tensors {
  evenrow_type type;       /* As in the forward pass. */
  evenrow_const_tensor x;  /* The forward pass's input. */
  evenrow_const_tensor dy; /* Gradient of the loss with respect to y. */
  evenrow_tensor dx;       /* May be dy itself, or x; no other overlap. */
  evenrow_tensor
      dresidual;     /* dy after undoing the activation; optional. May be dy, if dx is not. */
  const void* gamma; /* As in the forward pass. */
  int64_t gamma_count;
  const void* beta; /* As there; used only to undo a fused relu. */
  int64_t beta_count;
  void* dgamma; /* Overwritten; optional. */
  int64_t dgamma_count;
  void* dbeta; /* Overwritten; optional. */
  int64_t dbeta_count;
  evenrow_validity valid; /* As in the forward pass. */
} evenrow_backward_tensors;

/* Backward. With dy after undoing the activation, sums over the n valid columns, rstd =
 * 1 / sqrt(var + eps), xhat = (x - mean) * rstd:
 *   dbeta = sum(dy),  dgamma = sum(dy * xhat),
 *   dx = gamma * rstd * (dy - dbeta / n - xhat * dgamma / n);   dx = 0 in columns not valid.
 * With weights, the two terms with n count w times. Shape, eps and activation are those of `saved`;
 * threads as in evenrow_options. Without a valid column all gradients are 0.
 * Errors (usage): as in training; a `saved` without a forward pass, or of another type, size or set
 * of valid columns. */
evenrow_status evenrow_batch_norm_backward(const evenrow_backward_tensors* tensors,
                                           const evenrow_saved* saved,
                                           int32_t threads) EVENROW_NOEXCEPT;

typedef struct evenrow_infer_tensors {
  evenrow_type type;
  evenrow_shape shape;
  evenrow_const_tensor x;
  evenrow_tensor y;              /* May be x or residual itself; no other overlap. */
  evenrow_const_tensor residual; /* Added before the activation; optional. */
  const void* gamma;             /* Optional: all 1. */
  int64_t gamma_count;
  const void* beta; /* Optional: all 0. */
  int64_t beta_count;
  const double* mean; /* One a channel, finite; evenrow_running_get has them. */
  int64_t mean_count;
  const double* variance; /* One a channel, biased, finite, >= 0. */
  int64_t variance_count;
  evenrow_validity valid;
} evenrow_infer_tensors;

/* Inference: y = act(gamma * (x - mean) / sqrt(variance + eps) + beta + residual); y = 0 in columns
 * not valid. Errors (usage): as in training, but one column is enough; a mean or variance that is
 * not finite, a negative variance. */
evenrow_status evenrow_batch_norm_infer(const evenrow_infer_tensors* tensors,
                                        const evenrow_options* options) EVENROW_NOEXCEPT;

#ifdef __cplusplus
}
#endif
#endif
