/*
 * vault.h - where an installation's authority is kept: one file in a closed directory.
 *
 * VAULT_FILE holds certificates and keys, mode 0600, written aside and renamed into place, so that
 * a reader sees the old authority or the new. VAULT_ROOT_FILE beside it holds the certificate that
 * devices trust, for people. Knows nothing of what an authority does.
 */
#ifndef DEJUNK_TRUST_VAULT_H
#define DEJUNK_TRUST_VAULT_H

#include "trust/authority.h"

#define VAULT_FILE "authority.pem"
#define VAULT_ROOT_FILE "root.pem"

/* ERROR_CONFIG where there is none yet, ERROR_FORBIDDEN where others than the owner may read it,
 * ERROR_CORRUPT, ERROR_LIMIT, ERROR_SYSTEM. */
enum error_kind vault_load(struct authority **out, const char *directory, struct error *error);
bool vault_exists(const char *directory);

/* A file with a key, or of certificates, to an empty buffer: at most AUTHORITY_TEXT_BYTES, into
 * what is reserved at once, since a buffer that grows leaves copies behind. Of a secret: where only
 * its owner may read it. `how`: for open(2), O_NOFOLLOW or 0. ERROR_FORBIDDEN, ERROR_CORRUPT where
 * it is no file, ERROR_LIMIT, ERROR_SYSTEM. Ends with vault_wipe(). */
enum error_kind vault_read_file(struct buffer *out, const char *path, int how, bool is_secret,
                                struct error *error);
/* Its memory goes back zeroed. */
void vault_wipe(struct buffer *text);

/* Makes the directory where needed (the one above it must be there, and its owner owns what is
 * made). Of another root's authority that was there before, the root's certificate stays as
 * "old-FINGERPRINT.pem". A company's own is not for us to keep: ERROR_CONFIG. */
enum error_kind vault_save(const struct authority *authority, const char *directory,
                           struct error *error);

#endif
