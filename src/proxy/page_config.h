/*
 * page_config.h - what the config wants for the pages of a host.
 */
#ifndef DEJUNK_PROXY_PAGE_CONFIG_H
#define DEJUNK_PROXY_PAGE_CONFIG_H

#include "proxy/page.h"
#include "state/config.h"

/* Sets `strip` and `removes_blocked`; of the sections for sites that name the host later ones win.
 */
void page_configure(struct page_setup *setup, const struct config *config, struct span host);

#endif
