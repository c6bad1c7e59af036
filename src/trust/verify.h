/*
 * verify.h - is this the origin that was asked for? As strict about certificates as a browser.
 *
 * Chains are built and checked by OpenSSL; what it lets pass and a browser does not (a common
 * name instead of a subject name, wildcards over public suffixes, intermediates that do not say
 * that they may sign, keys whose private half is published, odd curves, custom Diffie-Hellman
 * groups) is checked here besides. Opens no file after the roots are read, knows no sockets.
 */
#ifndef DEJUNK_TRUST_VERIFY_H
#define DEJUNK_TRUST_VERIFY_H

#include <openssl/x509_vfy.h>

#include "base/bytes.h"
#include "base/error.h"
#include "trust/hostname.h"

enum {
    VERIFY_ROOTS = 2000,                  // certificates in one set
    VERIFY_ROOTS_BYTES = 8 * 1024 * 1024, // of PEM in one text
    VERIFY_INTERMEDIATES = 8,             // between leaf and root
    VERIFY_CHAIN_BYTES = 128 * 1024,      // of all certificates an origin sends
    VERIFY_RSA_BITS = 8192,
    VERIFY_CUSTOM_GROUP_BITS = 3072, // larger Diffie-Hellman groups must be well known
    VERIFY_HOST_BYTES = 254,         // a host name and its NUL
};

/* A set of roots, and revocation lists beside them. Shared and never changed. */
struct verify_roots;

/* Reads certificates and revocation lists in PEM, on top of `base`'s (NULL: none). Other kinds of
 * PEM are passed over; a block that is damaged is ERROR_CORRUPT, or only passed over where
 * `base` is NULL (a system's bundle should not fail for one of its roots). ERROR_CONFIG when
 * nothing was found, ERROR_LIMIT beyond VERIFY_ROOTS or VERIFY_ROOTS_BYTES. */
enum error_kind verify_roots_new(struct verify_roots **out, const struct verify_roots *base,
                                 struct span pem, struct error *error);
struct verify_roots *verify_roots_ref(struct verify_roots *roots);
void verify_roots_unref(struct verify_roots **roots);
size_t verify_roots_count(const struct verify_roots *roots);
/* The same for sets of the same contents, and for no others. */
uint64_t verify_roots_mark(const struct verify_roots *roots);

/* Reads the system's bundle of roots: $SSL_CERT_FILE, or the first that exists of the places
 * where distributions keep it. For whoever may open files; the text goes to verify_roots_new(). */
enum error_kind verify_read_system_roots(struct buffer *pem, struct error *error);

struct verify { // one origin's handshake; lives inside its owner; read by all, written by verify.c
    struct verify_roots *roots;
    char host[HOSTNAME_BYTES]; // lower case, no brackets, no last dot
    bool is_address;
    bool must_staple; // the leaf says so
    bool is_refused;  // verify_chain() said no, because of:
    struct error *reason;
};

/* `host` is a name or an address, in brackets or not. ERROR_SYNTAX for anything else. */
enum error_kind verify_init(struct verify *verify, struct verify_roots *roots, struct span host,
                            struct error *error);
void verify_done(struct verify *verify);

/* What OpenSSL shall check by itself. `parameters` are those of an SSL or of a store context. */
void verify_prepare(const struct verify *verify, X509_VERIFY_PARAM *parameters);
X509_STORE *verify_store(const struct verify *verify);
/* Builds and checks the chain that the context was made for; leaves the reason in *verify. */
bool verify_chain(struct verify *verify, X509_STORE_CTX *context);

/* The rest, once the handshake is done. `chain` is the verified one, leaf first; `staple` an OCSP
 * response in DER or SPAN_NONE. A staple that is unusable (expired, not signed by whom it should)
 * counts as none; none is good unless the leaf says that there must be one. */
enum error_kind verify_staple(const struct verify *verify, STACK_OF(X509) *chain,
                              struct span staple, struct error *error);
/* The key that the origin chose for the exchange, where it is of the finite-field kind. */
enum error_kind verify_group(EVP_PKEY *key, struct error *error);
/* A leaf that was verified in an earlier connection: name and dates again. */
enum error_kind verify_again(const struct verify *verify, X509 *leaf, struct error *error);

/* "CN=www.example < CN=Some CA R3 < CN=Some Root", for logs; cut where it does not fit. */
const char *verify_chain_text(char *to, size_t size, STACK_OF(X509) *chain);

/* Is the private half of this key published? `digest` is the SHA-256 of its SubjectPublicKeyInfo.
 */
bool verify_key_is_published(const unsigned char digest[32]);

#endif
