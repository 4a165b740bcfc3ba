/* Names of activations, losses, metrics and optimizers, by number. */
#ifndef FNN_NAMES_H
#define FNN_NAMES_H

#include "fnn.h"

#define ACTIVATION(number, name, ...) [number] = #name,
static const char *const fnn_activation_names[] = {
#include "activations.def"
};
#undef ACTIVATION

#define LOSS(number, name, ...) [number] = #name,
static const char *const fnn_loss_names[] = {
#include "losses.def"
};
#undef LOSS

#define METRIC(number, name, ...) [number] = #name,
static const char *const fnn_metric_names[] = {
#include "metrics.def"
};
#undef METRIC

#define UPDATE(number, name, ...) [number] = #name,
static const char *const fnn_optimizer_names[] = {
#include "optimizers.def"
};
#undef UPDATE

/* What their derivatives are computed from. */
#define ACTIVATION(number, name, reads, ...) [number] = reads,
static const enum fnn_reads fnn_activation_reads[] = {
#include "activations.def"
};
#undef ACTIVATION

/* What optimizers' slots are sums of. */
#define UPDATE(number, name, keeps, ...) [number] = keeps,
static const enum fnn_keeps fnn_optimizer_keeps[] = {
#include "optimizers.def"
};
#undef UPDATE

#endif
