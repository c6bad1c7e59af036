/*
 * origin.h - our side of a TLS handshake with an origin: what is offered, and what came of it.
 *
 * Makes SSL objects for whoever moves their bytes, and judges them when the handshake has ended.
 * Sessions are kept (serialised, least recently used go first) for resumption, by host, port and
 * roots, and only those of origins that were judged good. Knows no sockets, opens no file.
 *
 * The order: origin_begin(), the handshake, origin_judge(). Not a byte of a request is sent, and
 * nothing is told to the browser, before the judgement.
 */
#ifndef DEJUNK_TRUST_ORIGIN_H
#define DEJUNK_TRUST_ORIGIN_H

#include <openssl/ssl.h>
#include <time.h>

#include "trust/hello.h"
#include "trust/verify.h"

enum {
    ORIGIN_SESSIONS = 1000,       // kept, of each process
    ORIGIN_SESSION_BYTES = 8192,  // larger ones are not kept
    ORIGIN_RESUMED_S = 24 * 3600, // after a full verification, however often tickets are renewed
};

/* One for each process. Every SSL made with it must be gone before it is freed. */
struct origin_tls;

enum error_kind origin_tls_new(struct origin_tls **out, struct error *error);
void origin_tls_free(struct origin_tls **tls);

struct origin_question {
    struct span host; // a name or an address
    uint16_t port;
    struct span protocols; // ALPN as on the wire; empty: none is offered
    struct verify_roots *roots;
    time_t now;               // the wall clock's
    const struct hello *like; // offer only what this browser offers; NULL: all that is good
};

/* An SSL in client state, ready for its handshake; the caller gives it transport and frees it.
 * ERROR_SYNTAX for a host that is none, ERROR_TLS when this browser offers nothing good. */
enum error_kind origin_begin(SSL **out, struct origin_tls *tls,
                             const struct origin_question *question, struct error *error);

enum origin_verdict {
    ORIGIN_GOOD,
    ORIGIN_BAD_CERTIFICATE,   // chain, name, staple or group: the browser shall see for itself
    ORIGIN_WANTS_CERTIFICATE, // it asks for a client certificate, which only the browser has
    ORIGIN_FAILED,            // the handshake did not end, for no reason of certificates
};

struct origin_facts {
    struct span protocol; // chosen by ALPN, or empty; points into the SSL
    bool is_resumed;
};

/* Of an SSL whose handshake has ended, well or badly. *error is set for all but ORIGIN_GOOD (for
 * ORIGIN_FAILED only where nothing better is known). `facts` may be NULL. */
enum origin_verdict origin_judge(SSL *ssl, struct origin_facts *facts, struct error *error);

/* After a good handshake: did it ask for another one (TLS 1.2)? It was told no. So does an origin
 * that wants a client certificate only for some of its pages. */
bool origin_asked_again(const SSL *ssl);

/* The chain, for the log: the verified one, or else what the origin sent. As verify_chain_text().
 */
const char *origin_chain_text(char *to, size_t size, SSL *ssl);

/* How many sessions are kept now. */
size_t origin_session_count(const struct origin_tls *tls);

#endif
