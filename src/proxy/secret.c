#include "proxy/secret.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>

enum { HOST_LIMIT_BYTES = 256, TEXT_LIMIT_BYTES = 32 + HOST_LIMIT_BYTES };

static uint64_t get_number(const unsigned char *from)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

struct secret_mark secret_mark(const struct secret *secret, const char *use, struct span host,
                               uint64_t number)
{
    unsigned char text[TEXT_LIMIT_BYTES] = { 0 }, digest[EVP_MAX_MD_SIZE] = { 0 };
    size_t size = 0, use_size = strnlen(use, 16);

    memcpy(text, use, use_size);
    size = use_size + 1; // a NUL is in neither
    if (host.size > HOST_LIMIT_BYTES)
        host.size = HOST_LIMIT_BYTES;
    if (host.size)
        memcpy(text + size, host.at, host.size);
    size += host.size + 1;
    for (int i = 0; i < 8; i++)
        text[size++] = (unsigned char)(number >> (56 - 8 * i));
    if (!HMAC(EVP_sha256(), secret->key, SECRET_KEY_BYTES, text, size, digest, NULL))
        abort(); // out of memory ends the worker; the master starts another
    return (struct secret_mark){ get_number(digest), get_number(digest + 8) };
}
