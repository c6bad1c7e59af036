/*
 * jail.h - gives up for good what a process does not need.
 *
 * Four walls, each enough to keep a file closed: no new privileges, not traceable and no core
 * dump; Landlock (where the kernel has it) with no right on any file, no port to bind, no signal
 * or abstract socket outside; seccomp with a list of system calls that are allowed, some only with
 * certain arguments. What is not allowed fails with an errno as if the kernel did not have it (or,
 * for a file, as if it were not there), so that libraries fall back and a trick costs its owner
 * nothing but the trick. There is no way out; threads made later are inside too.
 */
#ifndef DEJUNK_DAEMON_JAIL_H
#define DEJUNK_DAEMON_JAIL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/error.h"

enum jail_kind {
    JAIL_WORKER, // sockets it is given, new ones of TCP and UDP, memory, threads, time: no more
    JAIL_SIGNER, // descriptors it is given, memory that runs no code, time: no more
    JAIL_ADMIN,  // as the signer; and unix sockets, and files in places it is given
    JAIL_KINDS
};

/* ERROR_SYSTEM when a wall cannot be built; Landlock alone may be missing. The process may be half
 * inside then and should end. */
enum error_kind jail_enter(enum jail_kind kind, struct error *error);

struct jail_place {
    const char *path; // a directory; one that is not there is no place
    enum {
        JAIL_READ,
        JAIL_KEEP,
        JAIL_SOCKETS
    } use; // its files, too: read; made anew; unix sockets
};

/* The same for JAIL_ADMIN. Without Landlock it is only file modes that keep it from other places.
 */
enum error_kind jail_enter_with(const struct jail_place *places, size_t count, struct error *error);

/* Sanitizers and coverage need files and tracing: programs built with them, or with
 * -DDEJUNK_JAIL_RELAXABLE, leave the jail open unless (or if) DEJUNK_JAIL=on (or off) says else.
 * In any other build this is true always. */
bool jail_is_wanted(void);

#endif
