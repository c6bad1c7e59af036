#include "trust/certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>

enum error_kind certificates_read(STACK_OF(X509) **out, struct span pem, struct error *error)
{
    STACK_OF(X509) *chain = sk_X509_new_null();
    BIO *bio = BIO_new_mem_buf(pem.size ? pem.at : "", (int)pem.size);
    X509 *certificate;
    int count = 0;

    if (!chain || !bio)
        abort();
    while (count <= CERTIFICATES_CHAIN && (certificate = PEM_read_bio_X509(bio, NULL, NULL, ""))) {
        if (!sk_X509_push(chain, certificate))
            abort();
        count++;
    }
    BIO_free(bio);
    ERR_clear_error();
    if (count > 0 && count <= CERTIFICATES_CHAIN) {
        *out = chain;
        return ERROR_NONE;
    }
    sk_X509_pop_free(chain, X509_free);
    return count ? error_set(error, ERROR_LIMIT, "more than %d certificates", CERTIFICATES_CHAIN)
                 : error_set(error, ERROR_CONFIG, "no certificate in it");
}

void certificates_write(struct buffer *to, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *at;
    long size;

    if (!bio || !PEM_write_bio_X509(bio, certificate))
        abort();
    size = BIO_get_mem_data(bio, &at);
    if (!buffer_append(to, span_of(at, (size_t)size)))
        abort(); // the caller's limit is far above what we make
    BIO_free(bio);
}

time_t certificates_time(const ASN1_TIME *time)
{
    struct tm parts;

    return ASN1_TIME_to_tm(time, &parts) ? timegm(&parts) : 0;
}
