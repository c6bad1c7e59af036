#include "proxy/visit.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base/table.h"

enum {
    SIGNATURE_BYTES = 16,
    RAW_BYTES = 8 + 8 + SIGNATURE_BYTES, // end of time, number, signature: 32, as 43 characters
    TEXT_BYTES = 43,
    SIGNED_BYTES = 16 + 256 + 64 + 2,
};

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

static void put_number(unsigned char *to, uint64_t number)
{
    for (int i = 0; i < 8; i++)
        to[i] = (unsigned char)(number >> (56 - 8 * i));
}

static uint64_t get_number(const unsigned char *from)
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | from[i];
    return number;
}

static bool sign(unsigned char *raw, unsigned char *signature, const unsigned char *secret,
                 struct span host, struct span client)
{
    unsigned char text[SIGNED_BYTES], digest[EVP_MAX_MD_SIZE];
    size_t size = 16;

    if (host.size > 256 || client.size > 64)
        return false;
    memcpy(text, raw, 16);
    memcpy(text + size, host.at, host.size);
    size += host.size;
    text[size++] = ' '; // in neither of them
    memcpy(text + size, client.at, client.size);
    size += client.size;
    HMAC(EVP_sha256(), secret, VISIT_SECRET_BYTES, text, size, digest, NULL);
    memcpy(signature, digest, SIGNATURE_BYTES);
    return true;
}

const char *visit_token(char to[VISIT_TOKEN_BYTES], const unsigned char *secret, struct span host,
                        struct span client, uint64_t now_ms)
{
    unsigned char raw[RAW_BYTES + 1] = { 0 };
    uint64_t number;

    random_bytes(&number, sizeof number);
    put_number(raw, now_ms + VISIT_GOOD_MS);
    put_number(raw + 8, number);
    if (!sign(raw, raw + 16, secret, host, client)) {
        to[0] = '\0';
        return to;
    }
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        size_t bit = i * 6, byte = bit / 8, shift = bit % 8;
        unsigned both = (unsigned)raw[byte] << 8 | raw[byte + 1];
        to[i] = digits[both >> (10 - shift) & 63];
    }
    to[TEXT_BYTES] = '\0';
    return to;
}

static bool decode(unsigned char *raw, struct span token)
{
    uint32_t bits = 0;
    size_t have = 0, to = 0;

    if (token.size != TEXT_BYTES)
        return false;
    for (size_t i = 0; i < token.size; i++) {
        const char *digit = token.at[i] ? strchr(digits, token.at[i]) : NULL;
        if (!digit)
            return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        have += 6;
        if (have >= 8 && to < RAW_BYTES) {
            have -= 8;
            raw[to++] = (unsigned char)(bits >> have);
        }
    }
    return to == RAW_BYTES && (bits & ((1u << have) - 1)) == 0; // one text for each token
}

bool visit_check(struct span token, const unsigned char *secret, struct span host,
                 struct span client, uint64_t now_ms, uint64_t *number)
{
    unsigned char raw[RAW_BYTES], signature[SIGNATURE_BYTES];
    uint64_t end_ms;

    if (!decode(raw, token) || !sign(raw, signature, secret, host, client) ||
        CRYPTO_memcmp(signature, raw + 16, SIGNATURE_BYTES) != 0)
        return false;
    end_ms = get_number(raw);
    if (end_ms <= now_ms || end_ms > now_ms + VISIT_GOOD_MS)
        return false;
    *number = get_number(raw + 8);
    return true;
}
