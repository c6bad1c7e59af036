#include "base/host_counts.h"

#include <stdlib.h>

enum { READ_TRIES = 3 };

static uint64_t get(const struct host_row *row, enum host_count count)
{
    return atomic_load_explicit(&row->counts[count], memory_order_relaxed);
}

static uint64_t weight_of(const struct host_row *row)
{
    return get(row, HOST_REQUESTS) + get(row, HOST_ELEMENTS_REMOVED);
}

static struct span name_of(struct span host)
{
    return host.size > HOST_NAME_BYTES ? span_from(host, host.size - HOST_NAME_BYTES) : host;
}

static void give_to(struct host_row *row, struct span name)
{
    uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed);

    atomic_store_explicit(&row->version, version + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    memcpy(row->name, name.at, name.size);
    row->name_size = (uint32_t)name.size;
    for (size_t i = 0; i < HOST_COUNTS; i++)
        atomic_store_explicit(&row->counts[i], 0, memory_order_relaxed);
    atomic_thread_fence(memory_order_seq_cst);
    atomic_store_explicit(&row->version, version + 2, memory_order_relaxed);
}

static struct host_row *row_of(struct host_rows *rows, struct span name)
{
    struct host_row *least = &rows->rows[0];

    for (size_t i = 0; i < HOST_ROWS; i++) {
        struct host_row *row = &rows->rows[i];
        if (span_equal(span_of(row->name, row->name_size), name))
            return row;
        if (least->name_size && (row->name_size == 0 || weight_of(row) < weight_of(least)))
            least = row;
    }
    give_to(least, name);
    return least;
}

void host_rows_add(struct host_rows *rows, struct span host, const uint64_t counts[HOST_COUNTS])
{
    struct host_row *row;

    if (host.size == 0)
        return;
    row = row_of(rows, name_of(host));
    for (size_t i = 0; i < HOST_COUNTS; i++)
        atomic_store_explicit(&row->counts[i], get(row, (enum host_count)i) + counts[i],
                              memory_order_relaxed);
}

/* ---- added up ---- */

/* False: there is nothing in it, or it changes hands just now. */
static bool read_row(const struct host_row *row, struct host_total *out)
{
    for (int i = 0; i < READ_TRIES; i++) {
        uint32_t version = atomic_load_explicit(&row->version, memory_order_relaxed), size;

        atomic_thread_fence(memory_order_seq_cst);
        size = row->name_size;
        if (size == 0)
            return false;
        if (size > HOST_NAME_BYTES)
            size = HOST_NAME_BYTES;
        memcpy(out->name, row->name, size);
        out->name[size] = '\0';
        for (size_t j = 0; j < HOST_COUNTS; j++)
            out->counts[j] = get(row, (enum host_count)j);
        atomic_thread_fence(memory_order_seq_cst);
        if (version % 2 == 0 &&
            version == atomic_load_explicit(&row->version, memory_order_relaxed))
            return true;
    }
    return false;
}

static struct host_total *total_of(struct host_totals *totals, const char *name)
{
    struct host_total *total;

    for (size_t i = 0; i < totals->count; i++)
        if (strcmp(totals->items[i].name, name) == 0)
            return &totals->items[i];
    if (totals->count == HOST_TOTALS)
        return NULL;
    total = &totals->items[totals->count++];
    memset(total, 0, sizeof *total);
    memcpy(total->name, name, strlen(name));
    return total;
}

void host_totals_add(struct host_totals *totals, const struct host_rows *rows)
{
    for (size_t i = 0; i < HOST_ROWS; i++) {
        struct host_total row, *total;

        if (!read_row(&rows->rows[i], &row))
            continue;
        total = total_of(totals, row.name);
        for (size_t j = 0; total && j < HOST_COUNTS; j++)
            total->counts[j] += row.counts[j];
    }
}

static int more_first(const void *a, const void *b)
{
    const struct host_total *one = a, *other = b;
    uint64_t x = one->counts[HOST_REQUESTS] + one->counts[HOST_ELEMENTS_REMOVED];
    uint64_t y = other->counts[HOST_REQUESTS] + other->counts[HOST_ELEMENTS_REMOVED];

    return x > y ? -1 : x < y ? 1 : strcmp(one->name, other->name);
}

void host_totals_sort(struct host_totals *totals)
{
    qsort(totals->items, totals->count, sizeof *totals->items, more_first);
}
