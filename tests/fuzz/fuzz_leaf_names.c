/* Any bytes as the subject alternative names of an origin's certificate (and, past the first NUL
 * byte pair, a host): what is collected is what a browser takes, and what can be signed. */
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

#include "trust/hostname.h"
#include "trust/leaf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
    if (!holds)
        abort();
}

static X509 *origin_with(const uint8_t *data, size_t size)
{
    X509 *origin = X509_new();
    ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
    X509_EXTENSION *extension;

    ASN1_OCTET_STRING_set(value, data, (int)size);
    extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
    X509_add_ext(origin, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    return origin;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct constraints *constraints;
    static struct leaf_names names;
    struct sign_request request = { .lifetime_s = 1, .usages = SIGN_FOR_SERVERS, .key = { 4 } };
    size_t host_size = size ? data[0] % 64 : 0;
    struct span host;
    char text[HOSTNAME_BYTES];
    X509 *origin;

    if (size < 1 + host_size)
        return 0;
    if (!constraints)
        check(!constraints_read(&constraints, SPAN("bank.example\ngov\n"), NULL));
    host = span_of((const char *)data + 1, host_size);
    origin = origin_with(data + 1 + host_size, size - 1 - host_size);
    if (hostname_read(text, host) == HOSTNAME_NONE) {
        check(leaf_names_collect(&names, constraints, host, origin, NULL) == ERROR_SYNTAX);
    } else if (!leaf_names_collect(&names, constraints, host, origin, NULL)) {
        check(names.count > 0 && names.count <= SIGN_NAMES);
        request.name_count = names.count;
        memcpy(request.names, names.names, names.count * sizeof *names.names);
        check(sign_judge(&request) == SIGN_DONE);
        for (size_t i = 0; i < names.count; i++)
            check(names.names[i].kind == HOSTNAME_ADDRESS ||
                  constraints_allow_name(constraints, names.names[i].bytes));
    }
    X509_free(origin);
    ERR_clear_error();
    return 0;
}
