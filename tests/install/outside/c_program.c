/* Uses an installed Evenrow from C as a stranger would: a training step, running statistics,
 * inference, and an error. Prints what went wrong and exits with 1 when anything did. */
#include <evenrow/evenrow.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

static int failures = 0;

static void expect(int holds, const char* what) {
  if (!holds) {
    printf("failed: %s (last error: %s)\n", what, evenrow_last_error());
    ++failures;
  }
}

/* As in main.cpp: a few roundings, 16 units in the last place of a value near 1.5. */
static int near(double value, double expected) {
  return fabs(value - expected) <= 16 * 1.1920929e-7 * 1.5;
}

/* Two channels, row-major, four rows: channel 0 is 1, 2, 3, 4 (mean 2.5, biased variance 1.25),
 * channel 1 is ten times that. */
static const float x[8] = {1, 10, 2, 20, 3, 30, 4, 40};
/* With a _, because gamma is a function that C compilers know. */
static const float gamma_[2] = {1, 2}, beta[2] = {0, 1};
static const evenrow_shape shape = {4, 2, 1};

static void train(evenrow_saved* saved) {
  float y[8] = {0};
  const evenrow_options exact = {.eps = 0};
  const evenrow_train_tensors tensors = {.type = EVENROW_F32,
                                         .shape = shape,
                                         .x = {.values = x, .count = 8},
                                         .y = {.values = y, .count = 8},
                                         .gamma = gamma_,
                                         .gamma_count = 2,
                                         .beta = beta,
                                         .beta_count = 2};
  expect(evenrow_batch_norm_train(&tensors, &exact, saved) == EVENROW_OK, "training");
  evenrow_batch_statistics batch = {0};
  expect(evenrow_saved_statistics(saved, &batch) == EVENROW_OK, "statistics");
  expect(batch.count == 4 && batch.weight == 4 && batch.channels == 2, "count");
  expect(batch.mean[0] == 2.5 && batch.mean[1] == 25, "mean");
  expect(batch.biased_variance[0] == 1.25 && batch.biased_variance[1] == 125, "variance");
  const double first = -1.5 / sqrt(1.25); /* (1 - 2.5) / sqrt(1.25) */
  expect(near(y[0], first) && near(y[1], 2 * first + 1), "y of the first row");
  expect(near(y[6], -first) && near(y[7], -2 * first + 1), "y of the last row");
}

static void run_backward(const evenrow_saved* saved) {
  const float dy[8] = {1, 0, 0, 0, 0, 0, 0, 1};
  float dx[8] = {0}, dgamma[2] = {0}, dbeta[2] = {0};
  const evenrow_backward_tensors tensors = {.type = EVENROW_F32,
                                            .x = {.values = x, .count = 8},
                                            .dy = {.values = dy, .count = 8},
                                            .dx = {.values = dx, .count = 8},
                                            .gamma = gamma_,
                                            .gamma_count = 2,
                                            .beta = beta,
                                            .beta_count = 2,
                                            .dgamma = dgamma,
                                            .dgamma_count = 2,
                                            .dbeta = dbeta,
                                            .dbeta_count = 2};
  const double first = -1.5 / sqrt(1.25);
  expect(evenrow_batch_norm_backward(&tensors, saved, 0) == EVENROW_OK, "backward");
  expect(dbeta[0] == 1 && dbeta[1] == 1, "dbeta is sum(dy)");
  expect(near(dgamma[0], first) && near(dgamma[1], -first), "dgamma is sum(dy * xhat)");
  /* gamma * rstd * (dy - dbeta / n - xhat * dgamma / n), with n = 4 and xhat = dgamma = first */
  expect(near(dx[0], (1 - 0.25 - first * first / 4) / sqrt(1.25)), "dx of the first value");
  expect(near(dx[0] + dx[2] + dx[4] + dx[6], 0), "dx sums to 0");
}

static void infer(const evenrow_saved* saved) {
  evenrow_running* running = NULL;
  expect(evenrow_running_create(2, 0.5, &running) == EVENROW_OK, "running statistics");
  expect(evenrow_running_update(running, saved) == EVENROW_OK, "update");
  evenrow_running_values values = {0};
  expect(evenrow_running_get(running, &values) == EVENROW_OK, "values");
  expect(values.updates == 1 && values.mean[0] == 1.25 && values.variance[1] == 63, "running");
  float y[8] = {0};
  const evenrow_infer_tensors tensors = {.type = EVENROW_F32,
                                         .shape = shape,
                                         .x = {.values = x, .count = 8},
                                         .y = {.values = y, .count = 8},
                                         .mean = values.mean,
                                         .mean_count = values.channels,
                                         .variance = values.variance,
                                         .variance_count = values.channels};
  expect(evenrow_batch_norm_infer(&tensors, NULL) == EVENROW_OK, "inference");
  expect(near(y[0], (1 - 1.25) / sqrt(1.125 + 1e-5)), "y of inference");
  evenrow_running_destroy(running);
}

static void meet_errors(evenrow_saved* saved) {
  float y[8] = {0};
  evenrow_train_tensors tensors = {.type = EVENROW_F32,
                                   .shape = shape,
                                   .x = {.values = x, .count = 7},
                                   .y = {.values = y, .count = 8}};
  expect(evenrow_batch_norm_train(&tensors, NULL, saved) == EVENROW_USAGE, "7 values are refused");
  expect(strstr(evenrow_last_error(), "x has 7 values, expected 8") != NULL, "its message");
  tensors.type = 9;
  expect(evenrow_batch_norm_train(&tensors, NULL, saved) == EVENROW_USAGE, "type 9 is refused");
  expect(evenrow_batch_norm_train(NULL, NULL, saved) == EVENROW_USAGE, "NULL is refused");
}

int main(void) {
  evenrow_saved* saved = NULL;
  expect(evenrow_saved_create(&saved) == EVENROW_OK, "a saved");
  train(saved);
  run_backward(saved);
  infer(saved);
  meet_errors(saved);
  evenrow_saved_destroy(saved);
  if (failures == 0) printf("outside, in C: all as expected of evenrow %s\n", evenrow_version());
  return failures == 0 ? 0 : 1;
}
