/*
 * exposition.h - the service in numbers, as Prometheus reads them (text format 0.0.4).
 *
 * HELP and TYPE stand once for each name, before all its samples. Names have the prefix dejunk_
 * and base units; hosts and clients are never a label.
 */
#ifndef DEJUNK_ADMIN_EXPOSITION_H
#define DEJUNK_ADMIN_EXPOSITION_H

#include "admin/overview.h"

/* Appends all. False when `out` is full. */
bool exposition_write(struct buffer *out, const struct overview *overview);

#endif
