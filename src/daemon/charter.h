/*
 * charter.h - where the authority of an installation comes from: its place, its list, its making.
 *
 * Shared by who makes one by hand (`dejunk ca`) and by the signer, which makes one on first need.
 */
#ifndef DEJUNK_DAEMON_CHARTER_H
#define DEJUNK_DAEMON_CHARTER_H

#include "state/config.h"
#include "trust/authority.h"

#define CHARTER_LIST "no-intercept-constraints"

/* STATE/ca, where the vault is; to `to` (`size` bytes). */
enum error_kind charter_directory(char *to, size_t size, const struct config *config,
                                  struct error *error);

/* Is there a list of names that an authority made here cannot sign for? */
bool charter_has_list(void);

/* A new one, or with `old`, whose root's key was kept, a new intermediate of it; written to the
 * vault in `directory`. The passphrase is for the root's key; NULL: it is not kept. */
enum error_kind charter_make(struct authority **out, const char *directory,
                             const struct authority *old, const char *passphrase,
                             struct error *error);

#endif
