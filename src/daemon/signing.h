/*
 * signing.h - the process that alone has the authority's key: packets of workers in, answers out.
 *
 * Reads the key (a company's own, or that of the vault, which it fills on first need), then gives
 * up files, the network and everything else that jail.h knows of; what it needs anew it gets by
 * being replaced. Its memory is locked and in no dump. Workers reach it on lines of their own
 * (packets.h, trust/sign.h), each under a limit for its place. Neither the master nor any other
 * process has the key at any time.
 */
#ifndef DEJUNK_DAEMON_SIGNING_H
#define DEJUNK_DAEMON_SIGNING_H

#include "daemon/crew.h"

/* For a crew_role. */
int signing_run(const struct crew_start *start);

/* Would a signer find its authority? Makes nothing; for a check of the config. */
enum error_kind signing_check(const struct config *config, struct error *error);

/* The same as long as a signer that was begun now would have the same authority as one before. For
 * the master, which looks at names, sizes and times and opens nothing. */
uint64_t signing_mark(const struct config *config);

#endif
