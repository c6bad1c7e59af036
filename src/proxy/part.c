#include "proxy/part.h"

#include "proxy/patience.h"

bool part_read(struct part *out, struct span value)
{
    struct part part = { .whole = UINT64_MAX };
    size_t dash, slash;

    if (!span_starts_nocase(value, SPAN("bytes ")))
        return false;
    value = span_from(value, 6);
    slash = span_find_byte(value, '/');
    dash = span_find_byte(span_slice(value, 0, slash), '-');
    if (slash == value.size || dash == slash ||
        !span_to_u64(span_slice(value, 0, dash), &part.first) ||
        !span_to_u64(span_slice(value, dash + 1, slash - dash - 1), &part.last) ||
        part.last < part.first || part.last == UINT64_MAX)
        return false;
    value = span_from(value, slash + 1);
    if (!span_equal(value, SPAN("*")) &&
        (!span_to_u64(value, &part.whole) || part.last >= part.whole))
        return false;
    *out = part;
    return true;
}

bool part_read_none(uint64_t *whole, struct span value)
{
    return span_starts_nocase(value, SPAN("bytes */")) && span_to_u64(span_from(value, 8), whole);
}

struct span part_validator(const struct message *response)
{
    struct span etag = message_value(response, FIELD_ETAG);
    struct span date = message_value(response, FIELD_LAST_MODIFIED);
    time_t modified, sent;

    if (etag.at && span_starts(etag, SPAN("\"")))
        return etag;
    if (!date.at || etag.at || !patience_date(date, &modified) ||
        !message_find(response, FIELD_DATE) ||
        !patience_date(message_value(response, FIELD_DATE), &sent) || sent <= modified)
        return SPAN_NONE;
    return date;
}

bool part_is_of_another(const struct message *response, struct span validator)
{
    struct span etag = message_value(response, FIELD_ETAG);
    struct span date = message_value(response, FIELD_LAST_MODIFIED);

    if (!validator.size)
        return false;
    if (span_starts(validator, SPAN("\"")))
        return etag.size && !span_equal(etag, validator);
    return date.size && !span_equal(date, validator);
}
