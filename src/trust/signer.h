/*
 * signer.h - the signer without its process: a worker's packet in, the answer's packet out.
 *
 * Joins the authority, the protocol and the limit of each worker. Whoever moves the packets (the
 * signer process) owns the clock and the sockets.
 */
#ifndef DEJUNK_TRUST_SIGNER_H
#define DEJUNK_TRUST_SIGNER_H

#include "trust/authority.h"

struct signer_counts {
    uint64_t signed_leaves, refused, malformed;
};

struct signer {                  // lives inside its owner
    struct authority *authority; // borrowed; may be changed between calls
    struct signer_counts counts; // read by all, written by signer.c
};

/* The answer to one packet goes to `answer` (SIGN_ANSWER_BYTES); *size is 0 where there is none:
 * to what is not even a request, with *error set, after which that worker is to be given up. `why`
 * tells the outcome of a request. `now` is the calendar's, `now_ms` monotonic. */
enum error_kind signer_answer(struct signer *signer, struct sign_limit *limit, struct span packet,
                              time_t now, uint64_t now_ms, char *answer, size_t *size,
                              enum sign_outcome *why, struct error *error);

#endif
