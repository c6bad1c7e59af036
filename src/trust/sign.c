#include "trust/sign.h"

#include <assert.h>

#include "trust/wire.h"

enum { TYPE_REQUEST = 1, TYPE_ANSWER = 2, POINT_UNCOMPRESSED = 4 };
enum { TOKEN = 1000 }; // thousandths

static const char magic[4] = { 'd', 'j', 's', '1' };

const char *sign_outcome_words(enum sign_outcome outcome)
{
    static const char *const words[] = {
#define SIGN_WORDS(id, words_of) words_of,
        SIGN_OUTCOMES(SIGN_WORDS)
#undef SIGN_WORDS
    };

    return (unsigned)outcome < SIGN_OUTCOME_COUNT ? words[outcome] : "unknown";
}

/* ---- writing ---- */

static char *put_number(char *to, uint32_t number, size_t width)
{
    for (size_t i = 0; i < width; i++)
        to[i] = (char)(number >> 8 * (width - 1 - i));
    return to + width;
}

static char *put_bytes(char *to, const void *bytes, size_t size)
{
    if (size)
        memcpy(to, bytes, size);
    return to + size;
}

static char *put_header(char *to, uint32_t type, uint32_t number)
{
    to = put_bytes(to, magic, sizeof magic);
    to = put_number(to, type, 1);
    return put_number(to, number, 4);
}

size_t sign_encode_request(char *to, const struct sign_request *request)
{
    char *at = put_header(to, TYPE_REQUEST, request->number);

    assert(request->name_count <= SIGN_NAMES);
    at = put_number(at, request->lifetime_s, 4);
    at = put_number(at, request->usages, 1);
    at = put_number(at, request->is_authority, 1);
    at = put_bytes(at, request->key, SIGN_KEY_BYTES);
    at = put_number(at, (uint32_t)request->name_count, 1);
    for (size_t i = 0; i < request->name_count; i++) {
        const struct sign_name *name = &request->names[i];

        assert(name->bytes.size < HOSTNAME_BYTES);
        at = put_number(at, name->kind, 1);
        at = put_number(at, (uint32_t)name->bytes.size, 1);
        at = put_bytes(at, name->bytes.at, name->bytes.size);
    }
    return (size_t)(at - to);
}

size_t sign_encode_answer(char *to, const struct sign_answer *answer)
{
    size_t size = answer->outcome == SIGN_DONE ? answer->certificate.size : 0;
    char *at = put_header(to, TYPE_ANSWER, answer->number);

    assert(size <= SIGN_CERTIFICATE_BYTES);
    at = put_number(at, answer->outcome, 1);
    at = put_number(at, (uint32_t)size, 2);
    at = put_bytes(at, answer->certificate.at, size);
    return (size_t)(at - to);
}

/* ---- reading ---- */

static bool take_header(struct wire *reader, uint32_t type, uint32_t *number)
{
    bool good = span_equal(wire_take(reader, sizeof magic), span_of(magic, sizeof magic));

    good = wire_number(reader, 1) == type && good;
    *number = wire_number(reader, 4);
    return good;
}

static bool take_name(struct wire *reader, struct sign_name *name)
{
    uint32_t kind = wire_number(reader, 1);

    name->kind = kind == HOSTNAME_NAME ? HOSTNAME_NAME : HOSTNAME_ADDRESS;
    name->bytes = wire_take(reader, wire_number(reader, 1));
    return (kind == HOSTNAME_NAME || kind == HOSTNAME_ADDRESS) && name->bytes.size < HOSTNAME_BYTES;
}

enum error_kind sign_decode_request(struct sign_request *out, struct span message,
                                    struct error *error)
{
    struct wire reader = { .left = message };
    struct sign_request request = { 0 };
    struct span key;
    uint32_t authority;
    bool good = take_header(&reader, TYPE_REQUEST, &request.number);

    request.lifetime_s = wire_number(&reader, 4);
    request.usages = (uint8_t)wire_number(&reader, 1);
    authority = wire_number(&reader, 1);
    key = wire_take(&reader, SIGN_KEY_BYTES);
    request.name_count = wire_number(&reader, 1);
    good = good && authority <= 1 && request.name_count <= SIGN_NAMES;
    for (size_t i = 0; good && i < request.name_count; i++)
        good = take_name(&reader, &request.names[i]);
    if (!good || reader.is_short || reader.left.size)
        return error_set(error, ERROR_SYNTAX, "a malformed request to the signer, of %zu bytes",
                         message.size);
    request.is_authority = authority;
    memcpy(request.key, key.at, SIGN_KEY_BYTES);
    *out = request;
    return ERROR_NONE;
}

enum error_kind sign_decode_answer(struct sign_answer *out, struct span message,
                                   struct error *error)
{
    struct wire reader = { .left = message };
    struct sign_answer answer;
    bool good = take_header(&reader, TYPE_ANSWER, &answer.number);
    uint32_t outcome = wire_number(&reader, 1);

    answer.certificate = wire_take(&reader, wire_number(&reader, 2));
    if (!good || reader.is_short || reader.left.size || outcome >= SIGN_OUTCOME_COUNT ||
        (outcome == SIGN_DONE) != (answer.certificate.size > 0) ||
        answer.certificate.size > SIGN_CERTIFICATE_BYTES)
        return error_set(error, ERROR_SYNTAX, "a malformed answer of the signer, of %zu bytes",
                         message.size);
    answer.outcome = (enum sign_outcome)outcome;
    *out = answer;
    return ERROR_NONE;
}

/* ---- judging ---- */

static bool is_good(const struct sign_name *name)
{
    return name->kind == HOSTNAME_NAME ? hostname_is_good_in_certificate(name->bytes)
                                       : name->bytes.size == 4 || name->bytes.size == 16;
}

enum sign_outcome sign_judge(const struct sign_request *request)
{
    if (request->is_authority)
        return SIGN_IS_AUTHORITY;
    if (request->usages != SIGN_FOR_SERVERS)
        return SIGN_USAGE;
    if (request->lifetime_s == 0 || request->lifetime_s > SIGN_LIFETIME_S)
        return SIGN_TOO_LONG;
    if (request->key[0] != POINT_UNCOMPRESSED)
        return SIGN_KEY;
    if (request->name_count == 0)
        return SIGN_NAME;
    for (size_t i = 0; i < request->name_count; i++)
        if (!is_good(&request->names[i]))
            return SIGN_NAME;
    return SIGN_DONE;
}

void sign_limit_init(struct sign_limit *limit, uint32_t rate_per_s, uint32_t burst, uint64_t now_ms)
{
    *limit = (struct sign_limit){ .rate_per_s = rate_per_s,
                                  .burst = burst,
                                  .tokens_milli = (uint64_t)burst * TOKEN,
                                  .last_ms = now_ms };
}

bool sign_limit_take(struct sign_limit *limit, uint64_t now_ms)
{
    uint64_t full = (uint64_t)limit->burst * TOKEN, passed_ms = 0;

    if (limit->rate_per_s == 0)
        return true;
    if (now_ms > limit->last_ms)
        passed_ms = now_ms - limit->last_ms;
    limit->last_ms = now_ms;
    // A thousandth of a token a millisecond for each token a second.
    if (passed_ms > full / limit->rate_per_s)
        limit->tokens_milli = full;
    else
        limit->tokens_milli += passed_ms * limit->rate_per_s;
    if (limit->tokens_milli > full)
        limit->tokens_milli = full;
    if (limit->tokens_milli < TOKEN)
        return false;
    limit->tokens_milli -= TOKEN;
    return true;
}
