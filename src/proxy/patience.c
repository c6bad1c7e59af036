#include "proxy/patience.h"

bool patience_status(unsigned status)
{
    switch (status) {
    case 408:
    case 425:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
        return true;
    default:
        return false;
    }
}

uint64_t patience_wait_ms(unsigned attempt, uint32_t chance)
{
    uint64_t wait = PATIENCE_FIRST_MS;

    for (unsigned i = 1; i < attempt && wait < PATIENCE_MOST_MS; i++)
        wait *= 2;
    if (wait > PATIENCE_MOST_MS)
        wait = PATIENCE_MOST_MS;
    return wait / 2 + chance % (wait / 2 + 1);
}

bool patience_date(struct span text, time_t *out)
{
    static const char *const forms[] = {
        "%a, %d %b %Y %H:%M:%S GMT",
        "%A, %d-%b-%y %H:%M:%S GMT",
        "%a %b %d %H:%M:%S %Y",
    };
    char copy[64];

    if (text.size >= sizeof copy || span_find_byte(text, '\0') < text.size)
        return false;
    memcpy(copy, text.at, text.size);
    copy[text.size] = '\0';
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        struct tm tm = { 0 };
        const char *end = strptime(copy, forms[i], &tm);
        if (end && *end == '\0') {
            *out = timegm(&tm);
            return true;
        }
    }
    return false;
}

bool patience_retry_after(struct span value, time_t now, uint64_t *seconds)
{
    time_t then;

    if (span_to_u64(value, seconds))
        return true;
    if (!patience_date(value, &then))
        return false;
    *seconds = then > now ? (uint64_t)(then - now) : 0;
    return true;
}
