/* Any bytes as a packet for the signer, and as the signer's answer: what is taken is written back
 * as it came, and what is signed is what was asked for. */
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "trust/signer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static void try_request(struct span packet)
{
    static struct authority *authority;
    static char again[SIGN_REQUEST_BYTES], reply[SIGN_ANSWER_BYTES];
    struct authority_plan plan = { .label = SPAN("fuzz"), .now = 1700000000 };
    struct signer signer = { 0 };
    struct sign_limit limit = { 0 };
    struct sign_request request;
    struct sign_answer answer;
    enum sign_outcome why;
    size_t size;

    if (!authority)
        check(!authority_make(&authority, &plan, NULL));
    if (!sign_decode_request(&request, packet, NULL)) {
        size = sign_encode_request(again, &request);
        check(span_equal(span_of(again, size), packet));
    }
    signer.authority = authority;
    if (signer_answer(&signer, &limit, packet, plan.now, 0, reply, &size, &why, NULL)) {
        check(size == 0);
        return;
    }
    check(!sign_decode_answer(&answer, span_of(reply, size), NULL) && answer.outcome == why);
    if (why == SIGN_DONE) {
        const unsigned char *at = (const unsigned char *)answer.certificate.at;
        X509 *leaf = d2i_X509(NULL, &at, (long)answer.certificate.size);
        GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

        check(leaf && X509_check_ca(leaf) == 0);
        check(X509_get_extended_key_usage(leaf) == XKU_SSL_SERVER);
        check((size_t)sk_GENERAL_NAME_num(names) == request.name_count);
        GENERAL_NAMES_free(names);
        X509_free(leaf);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char again[SIGN_ANSWER_BYTES];
    struct span packet = span_of((const char *)data, size);
    struct sign_answer answer;

    try_request(packet);
    if (!sign_decode_answer(&answer, packet, NULL))
        check(span_equal(span_of(again, sign_encode_answer(again, &answer)), packet));
    return 0;
}
