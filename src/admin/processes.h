/*
 * processes.h - what the processes of the service take of the machine, by /proc.
 *
 * The master and its children. What cannot be read (another /proc, a process that has just ended,
 * descriptors of one that is not dumpable) counts as nothing.
 */
#ifndef DEJUNK_ADMIN_PROCESSES_H
#define DEJUNK_ADMIN_PROCESSES_H

#include "admin/overview.h"

enum { PROCESSES_MOST = 256 };

/* `first` is the master's. */
void processes_read(struct overview_processes *out, int first);

/* Adds what the text of /proc/PID/stat says; false when it is not as it should be. */
bool processes_add_stat(struct overview_processes *to, struct span stat, uint64_t ticks_per_s,
                        uint64_t page_bytes);

#endif
