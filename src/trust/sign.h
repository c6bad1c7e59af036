/*
 * sign.h - what a worker and the signer say to each other, and what the signer will not do.
 *
 * A request says in plain fields what the certificate shall be; the signer builds it, so that
 * nothing a worker sends is ever signed as it came. Requests and answers are packets, one message
 * each, of checked size; a message that breaks a rule is refused whole. Bytes in, bytes out: no
 * socket, no clock, no key.
 *
 *     all    magic "dj" 's' '1' | type 1 | number 4
 *     1      lifetime_s 4 | usages 1 | is_authority 1 | key 65 | count 1 | names
 *            name: kind 1 | size 1 | bytes
 *     2      outcome 1 | size 2 | certificate in DER
 */
#ifndef DEJUNK_TRUST_SIGN_H
#define DEJUNK_TRUST_SIGN_H

#include "base/bytes.h"
#include "base/error.h"
#include "trust/hostname.h"

enum {
    SIGN_NAMES = 100,    // in one certificate
    SIGN_KEY_BYTES = 65, // an uncompressed point of P-256
    SIGN_LIFETIME_S = 7 * 24 * 3600,
    SIGN_CERTIFICATE_BYTES = 32 * 1024,
    SIGN_REQUEST_BYTES = 9 + 4 + 1 + 1 + SIGN_KEY_BYTES + 1 + SIGN_NAMES * (2 + HOSTNAME_BYTES - 1),
    SIGN_ANSWER_BYTES = 9 + 1 + 2 + SIGN_CERTIFICATE_BYTES,
    SIGN_RATE_PER_S = 50, // by default, for each worker
    SIGN_BURST = 500,
};

enum { SIGN_FOR_SERVERS = 1, SIGN_FOR_CLIENTS = 2 }; // usages

struct sign_name {
    enum hostname_kind kind; // HOSTNAME_NAME: text; HOSTNAME_ADDRESS: 4 or 16 bytes
    struct span bytes;
};

struct sign_request {
    uint32_t number;     // the worker's, and comes back with the answer
    uint32_t lifetime_s; // from its first second, which is before now
    uint8_t usages;
    bool is_authority;
    unsigned char key[SIGN_KEY_BYTES];
    size_t name_count;
    struct sign_name names[SIGN_NAMES];
};

#define SIGN_OUTCOMES(ROW)                                                                         \
    ROW(DONE, "signed")                                                                            \
    ROW(IS_AUTHORITY, "no authorities are signed")                                                 \
    ROW(TOO_LONG, "the lifetime is longer than 7 days, or none")                                   \
    ROW(USAGE, "certificates are for servers alone")                                               \
    ROW(KEY, "the key is no point of P-256")                                                       \
    ROW(NAME, "a name is none, or may not be signed")                                              \
    ROW(RATE, "too many at once")                                                                  \
    ROW(FAILED, "the signer failed")

enum sign_outcome {
#define SIGN_ID(id, words) SIGN_##id,
    SIGN_OUTCOMES(SIGN_ID)
#undef SIGN_ID
        SIGN_OUTCOME_COUNT
};
const char *sign_outcome_words(enum sign_outcome outcome);

struct sign_answer {
    uint32_t number;
    enum sign_outcome outcome;
    struct span certificate; // SIGN_DONE: DER
};

/* To `to` (SIGN_REQUEST_BYTES, SIGN_ANSWER_BYTES); returns the size. Needs counts and sizes within
 * the limits. */
size_t sign_encode_request(char *to, const struct sign_request *request);
size_t sign_encode_answer(char *to, const struct sign_answer *answer);

/* Spans in *out point into `message`. ERROR_SYNTAX; what is well-formed may still be refused. */
enum error_kind sign_decode_request(struct sign_request *out, struct span message,
                                    struct error *error);
enum error_kind sign_decode_answer(struct sign_answer *out, struct span message,
                                   struct error *error);

/* SIGN_DONE when nothing speaks against it but, perhaps, the constraints and the rate. */
enum sign_outcome sign_judge(const struct sign_request *request);

struct sign_limit {             // one for each worker; lives inside its owner
    uint32_t rate_per_s, burst; // 0: no limit
    uint64_t tokens_milli;      // sign.c only, as is the next
    uint64_t last_ms;
};
void sign_limit_init(struct sign_limit *limit, uint32_t rate_per_s, uint32_t burst,
                     uint64_t now_ms);
/* Takes one; false when there is none. `now_ms` is monotonic. */
bool sign_limit_take(struct sign_limit *limit, uint64_t now_ms);

#endif
