/*
 * constraints.h - names that an authority may not sign: subtrees in its own certificate.
 *
 * RFC 5280 section 4.2.1.10. Made from a list of domains to be excluded, or read from a
 * certificate (a company's own may permit some subtrees and exclude others). Knows nothing of
 * files; never changes once made.
 */
#ifndef DEJUNK_TRUST_CONSTRAINTS_H
#define DEJUNK_TRUST_CONSTRAINTS_H

#include <openssl/x509.h>

#include "base/bytes.h"
#include "base/error.h"

enum {
    CONSTRAINTS = 64,         // subtrees in a list: more, and some verifiers balk
    CONSTRAINTS_BYTES = 2048, // of the extension they make
};

struct constraints;

/* From a list of domains, one a line, "#" and what follows passed over: each excludes itself and
 * all below. ERROR_SYNTAX with the line, ERROR_LIMIT beyond the limits above. */
enum error_kind constraints_read(struct constraints **out, struct span list, struct error *error);
/* From a certificate; one without constraints gives constraints that allow all. ERROR_UNSUPPORTED
 * for what nobody uses. */
enum error_kind constraints_of(struct constraints **out, const X509 *certificate,
                               struct error *error);
void constraints_free(struct constraints **constraints);

/* How many subtrees. */
size_t constraints_count(const struct constraints *constraints);
/* Puts them into a certificate, as critical. Nothing when there are none. */
void constraints_put(const struct constraints *constraints, X509 *certificate);

/* May a certificate below have this name? A wildcard may not when it would cover an excluded
 * host. NULL constraints allow all. */
bool constraints_allow_name(const struct constraints *constraints, struct span name);
/* `address` is of 4 or 16 bytes. */
bool constraints_allow_address(const struct constraints *constraints, struct span address);
/* Do they say something of subjects, so that only an empty one is safe? */
bool constraints_limit_subjects(const struct constraints *constraints);

#endif
