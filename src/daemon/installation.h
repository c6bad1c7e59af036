/*
 * installation.h - what belongs to this installation and not to one run: its state directory, the
 * pseudonym made on the first start, the lists that came with it.
 *
 * The pseudonym names us in Via, so that a request that comes back to us is known as our own
 * (RFC 9110 section 7.6.3), and tells nothing about the machine. It is kept in the state
 * directory; two instances that are chained need two state directories. The secret is kept beside
 * it: no site knows it, and what sites see of us is made with it.
 */
#ifndef DEJUNK_DAEMON_INSTALLATION_H
#define DEJUNK_DAEMON_INSTALLATION_H

#include "base/error.h"
#include "state/config.h"

enum { INSTALLATION_PSEUDONYM_BYTES = 32, INSTALLATION_SECRET_BYTES = 32 };

/* The config's state_dir, else the usual one (config_default_dir()). ERROR_LIMIT, ERROR_SYSTEM. */
enum error_kind installation_state_dir(char *to, size_t size, const struct config *config,
                                       struct error *error);

/* The same, made (mode 0700) where it is not there. */
enum error_kind installation_make_state_dir(char *to, size_t size, const struct config *config,
                                            struct error *error);

/* Reads it, or makes and keeps it (and the directory, mode 0700). When it cannot be kept: a new
 * one, and ERROR_SYSTEM; the caller may go on with it. */
enum error_kind installation_pseudonym(char to[INSTALLATION_PSEUDONYM_BYTES],
                                       const struct config *config, struct error *error);

/* The same of the secret (proxy/secret.h), which only the state directory's owner may read. */
enum error_kind installation_secret(unsigned char to[INSTALLATION_SECRET_BYTES],
                                    const struct config *config, struct error *error);

/* A list that comes with dejunk: PREFIX/share/dejunk/NAME, or conf/NAME of the source tree that
 * the program was built in. False, and nothing written, when there is none. */
bool installation_data_file(char *to, size_t size, const char *name);

#endif
