#include "trust/signer.h"

static enum sign_outcome try(struct signer *signer, struct sign_limit *limit,
                             const struct sign_request *request, time_t now, uint64_t now_ms,
                             struct buffer *der)
{
    enum sign_outcome outcome = sign_judge(request);

    // What is refused costs a token too: only honest requests come often.
    if (!sign_limit_take(limit, now_ms))
        return outcome == SIGN_DONE ? SIGN_RATE : outcome;
    return outcome == SIGN_DONE ? authority_sign(signer->authority, request, now, der) : outcome;
}

enum error_kind signer_answer(struct signer *signer, struct sign_limit *limit, struct span packet,
                              time_t now, uint64_t now_ms, char *answer, size_t *size,
                              enum sign_outcome *why, struct error *error)
{
    struct buffer der = { .limit_bytes = SIGN_CERTIFICATE_BYTES };
    struct sign_request request;
    struct sign_answer reply;
    enum error_kind kind = sign_decode_request(&request, packet, error);

    *size = 0;
    if (kind) {
        signer->counts.malformed++;
        return kind;
    }
    reply = (struct sign_answer){ .number = request.number };
    reply.outcome = try(signer, limit, &request, now, now_ms, &der);
    if (reply.outcome == SIGN_DONE)
        reply.certificate = buffer_span(&der);
    *(reply.outcome == SIGN_DONE ? &signer->counts.signed_leaves : &signer->counts.refused) += 1;
    *size = sign_encode_answer(answer, &reply);
    *why = reply.outcome;
    buffer_release(&der);
    return ERROR_NONE;
}
