#include "base/metrics.h"

static const struct metric_row rows[METRICS_COUNT] = {
#define METRIC_ROW(id, kind, name, labels, help) { METRIC_##kind, name, labels, help },
    METRICS(METRIC_ROW)
#undef METRIC_ROW
};

const struct metric_row *metric_row(enum metric metric)
{
    return &rows[metric];
}

void metrics_reset_gauges(struct metrics *metrics)
{
    for (size_t i = 0; i < METRICS_COUNT; i++)
        if (rows[i].kind == METRIC_GAUGE)
            atomic_store_explicit(&metrics->values[i], 0, memory_order_relaxed);
}
