#include "proxy/page_config.h"

void page_configure(struct page_setup *setup, const struct config *config, struct span host)
{
    static const enum page_strip modes[] = { [STRIP_HIDE] = PAGE_STRIP_HIDE,
                                             [STRIP_HOLLOW] = PAGE_STRIP_HOLLOW,
                                             [STRIP_REMOVE] = PAGE_STRIP_REMOVE };

    setup->strip = modes[config->strip];
    setup->removes_blocked = config->remove_blocked;
    for (size_t i = 0; i < config->site_count; i++) {
        const struct config_site *site = &config->sites[i];
        if (!span_matches_wildcard(host, site->pattern))
            continue;
        if (site->strip != SITE_STRIP_SAME)
            setup->strip = modes[site->strip - 1];
        if (site->remove_blocked != SWITCH_UNSET)
            setup->removes_blocked = site->remove_blocked == SWITCH_YES;
    }
}
