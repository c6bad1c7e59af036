/*
 * administrator.h - the process around admin/: messages with the master, callers from workers.
 *
 * Callers come only on channels that the master made between this process and a worker, so nobody
 * else can reach the pages here. When it ends, another one begins with what is on disk.
 */
#ifndef DEJUNK_DAEMON_ADMINISTRATOR_H
#define DEJUNK_DAEMON_ADMINISTRATOR_H

#include "daemon/crew.h"

/* For a crew_role. */
int administrator_run(const struct crew_start *start);

#endif
