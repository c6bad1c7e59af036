/*
 * browser.h - our side of a TLS handshake with a browser: versions, ciphers, tickets, the leaf.
 *
 * Makes SSL objects for whoever moves their bytes. Sessions are resumed by tickets alone, whose
 * keys are handed in, so that all workers can share them; a ticket is good for the host it was
 * given for. Knows no sockets, opens no file.
 */
#ifndef DEJUNK_TRUST_BROWSER_H
#define DEJUNK_TRUST_BROWSER_H

#include <openssl/ssl.h>

#include "trust/hello.h"
#include "trust/leaf.h"

enum {
    BROWSER_TICKET_KEYS = 3,       // now, and before
    BROWSER_SESSION_S = 24 * 3600, // as long as a ticket's key is renewed
};

struct browser_ticket_key { // random bytes, all of it
    unsigned char name[16], cipher[32], mac[32];
};

/* One for each process. */
struct browser_tls;

enum error_kind browser_tls_new(struct browser_tls **out, struct error *error);
void browser_tls_free(struct browser_tls **tls);

/* What is sent behind a leaf; leaf_cache_chain(). */
void browser_tls_set_chain(struct browser_tls *tls, STACK_OF(X509) *chain);
/* The first is the one to give tickets with; at most BROWSER_TICKET_KEYS. None: no tickets. */
void browser_tls_set_ticket_keys(struct browser_tls *tls, const struct browser_ticket_key *keys,
                                 size_t count);

/* Does it offer what our side of the handshake can take: version, ciphers, groups and ECDSA? */
bool browser_suits(const struct hello *hello);

/* An SSL in server state. `protocol` is what ALPN shall choose, where the browser offers it: what
 * the origin has chosen; empty: none. `host` is that of the tunnel, for its sessions. */
SSL *browser_begin(struct browser_tls *tls, const struct leaf *leaf, EVP_PKEY *key,
                   struct span protocol, struct span host);

#endif
