/*
 * authority.h - the certificate authority of an installation: what it is made of, and signing.
 *
 * A root that devices trust signs an intermediate (pathlen 0, some names excluded), and that signs
 * leaves for servers, of at most 7 days. The root's key is thrown away unless a passphrase is
 * given to keep it under. Or a company's own certificate and key stand in the place of both.
 *
 * Only the signer process and `dejunk ca` hold one of these; others get its certificates as text.
 * Knows nothing of files (vault.h) and of who asks (signer.h).
 */
#ifndef DEJUNK_TRUST_AUTHORITY_H
#define DEJUNK_TRUST_AUTHORITY_H

#include <time.h>

#include "base/bytes.h"
#include "base/error.h"
#include "trust/constraints.h"
#include "trust/sign.h"

enum {
    AUTHORITY_LIFETIME_DAYS = 3652,    // 10 years
    AUTHORITY_BACKDATE_S = 24 * 3600,  // clocks differ
    AUTHORITY_TEXT_BYTES = 256 * 1024, // of PEM in one file
    AUTHORITY_LABEL_BYTES = 40,        // so that it fits a common name
    AUTHORITY_NAME_BYTES = 200,
    AUTHORITY_PASSPHRASE_BYTES = 8, // at least
    AUTHORITY_FINGERPRINT_BYTES = 32,
};

struct authority;

struct authority_plan {
    struct span label;                     // whose it is, for people: a host name; cut and cleaned
    const struct constraints *constraints; // names to exclude; NULL: none
    const char *passphrase; // keeps the root's key under it; NULL: the key is gone after
    time_t now;
};

enum error_kind authority_make(struct authority **out, const struct authority_plan *plan,
                               struct error *error);
/* A new intermediate below the same root, whose key was kept: nothing has to be trusted anew. */
enum error_kind authority_renew(struct authority **out, const struct authority *old,
                                const struct authority_plan *plan, struct error *error);
/* A company's own, in PEM: its certificate first, then those above it, if they are to be sent
 * along. ERROR_CONFIG where it is no authority, has expired, or the key is another's or weak. */
enum error_kind authority_own(struct authority **out, struct span certificates, struct span key,
                              time_t now, struct error *error);
/* Gives the keys' memory back zeroed. */
void authority_free(struct authority **authority);

/* As text and back. The text has the key in clear; wipe it after. */
enum error_kind authority_read(struct authority **out, struct span text, struct error *error);
void authority_write(const struct authority *authority, struct buffer *text);

/* ---- what may be known ---- */

/* The root's certificate (or the topmost that is there) in PEM: what devices must trust. */
void authority_root_pem(const struct authority *authority, struct buffer *pem);
/* What is sent along with a leaf, in PEM: the intermediate, or a company's chain. */
void authority_chain_pem(const struct authority *authority, struct buffer *pem);
/* Of the certificate of authority_root_pem(). */
void authority_fingerprint(const struct authority *authority,
                           unsigned char to[AUTHORITY_FINGERPRINT_BYTES]);
/* Its common name, escaped; to `to` (AUTHORITY_NAME_BYTES). */
const char *authority_name(const struct authority *authority, char *to);
/* When the first of its certificates ends, and when it began. */
time_t authority_until(const struct authority *authority);
time_t authority_from(const struct authority *authority);
bool authority_has_root_key(const struct authority *authority);
bool authority_is_own(const struct authority *authority);
const struct constraints *authority_constraints(const struct authority *authority);

/* ---- signing ---- */

/* Signs what sign_judge() has nothing against. The certificate in DER goes to `der`, which needs
 * room for SIGN_CERTIFICATE_BYTES. SIGN_NAME where the constraints exclude one of the names. */
enum sign_outcome authority_sign(struct authority *authority, const struct sign_request *request,
                                 time_t now, struct buffer *der);

#endif
