#include "proxy/tally.h"

static struct span site_of(const struct tally_entry *entry)
{
    struct span page = entry->judgement->source;
    size_t scheme = span_find(page, SPAN("://"));

    if (page.size == 0)
        return entry->host;
    if (scheme < page.size)
        page = span_from(page, scheme + 3);
    for (size_t i = 0; i < page.size; i++)
        if (page.at[i] == '/' || page.at[i] == '?' || page.at[i] == '#' ||
            (page.at[i] == ':' && page.at[0] != '['))
            return span_slice(page, 0, i);
    return page;
}

static uint64_t usual_bytes(const struct proxy *proxy, enum request_type type)
{
    const struct proxy_sizes *sizes = &proxy->sizes[type];

    return sizes->count ? sizes->bytes / sizes->count : 0;
}

void tally_note(struct proxy *proxy, const struct tally_entry *entry)
{
    const struct judgement *judgement = entry->judgement;
    uint64_t counts[HOST_COUNTS] = { [HOST_BYTES_REMOVED] = entry->removed_bytes,
                                     [HOST_ELEMENTS_REMOVED] = entry->removed_elements };

    if (judgement->is_stopped) {
        counts[HOST_REQUESTS] = 1;
        if (judgement->type != TYPE_DOCUMENT) // a page visit is not junk that came with something
            counts[HOST_BYTES_NOT_FETCHED] =
                entry->has_size ? entry->bytes : usual_bytes(proxy, judgement->type);
        metrics_add(proxy->metrics, METRIC_BYTES_REMOVED_REQUEST, counts[HOST_BYTES_NOT_FETCHED]);
    } else if (entry->was_answered) {
        proxy->sizes[judgement->type].count++;
        proxy->sizes[judgement->type].bytes += entry->bytes;
    }
    if (counts[HOST_REQUESTS] || counts[HOST_BYTES_REMOVED] || counts[HOST_ELEMENTS_REMOVED])
        host_rows_add(&proxy->metrics->hosts, site_of(entry), counts);
}
