#include "proxy/interception.h"

#include <stdlib.h>

#include "base/log.h"

enum error_kind interception_new(struct interception **out, struct proxy *proxy,
                                 struct error *error)
{
    struct interception *interception = calloc(1, sizeof *interception);
    enum error_kind kind;

    if (!interception)
        abort(); // out of memory ends the worker; the master starts another
    interception->proxy = proxy;
    interception->choice = choice_new(&proxy->seams);
    kind = browser_tls_new(&interception->browser, error);
    if (kind) {
        interception_free(&interception);
        return kind;
    }
    *out = interception;
    return ERROR_NONE;
}

void interception_free(struct interception **pointer)
{
    struct interception *interception = *pointer;

    *pointer = NULL;
    if (!interception)
        return;
    leaf_cache_free(&interception->leaves);
    browser_tls_free(&interception->browser);
    anchors_free(&interception->anchors);
    choice_free(&interception->choice);
    free(interception);
}

bool interception_is_ready(const struct interception *interception, const struct settings *settings,
                           struct span host)
{
    return interception->leaves && interception->anchors &&
           anchors_for(interception->anchors, settings, host);
}

bool interception_signed(const struct interception *interception, const SSL *browser)
{
    const X509 *leaf = browser ? SSL_get_certificate(browser) : NULL;

    return interception->is_settled && leaf &&
           X509_NAME_cmp(X509_get_issuer_name(leaf),
                         X509_get_subject_name(
                             sk_X509_value(leaf_cache_chain(interception->leaves), 0))) == 0;
}

struct outgoing_tls interception_towards(const struct interception *interception,
                                         const struct settings *settings, const struct scope *scope)
{
    return (struct outgoing_tls){
        .name = scope->host,
        .roots = anchors_for(interception->anchors, settings, scope->host),
        .like = scope->hello,
        .no_protocol = !scope->offers_http1,
    };
}

/* ---- what comes from other processes ---- */

static bool ask_signer(void *owner, struct span packet)
{
    const struct proxy *proxy = ((struct interception *)owner)->proxy;

    return proxy->seams.ask_signer && proxy->seams.ask_signer(proxy->seams.owner, packet);
}

enum error_kind proxy_set_authority(struct proxy *proxy, struct span chain_pem, struct error *error)
{
    struct interception *interception = proxy->interception;
    const struct leaf_signer signer = { ask_signer, interception };
    enum error_kind kind;

    if (chain_pem.size == 0) {
        interception->is_settled = false;
        if (interception->leaves)
            leaf_cache_lost(interception->leaves); // nobody may wait when it goes
        leaf_cache_free(&interception->leaves);
        return ERROR_NONE;
    }
    if (interception->leaves)
        kind = leaf_cache_set_chain(interception->leaves, chain_pem, error);
    else
        kind = leaf_cache_new(&interception->leaves, &signer, chain_pem, error);
    if (kind == ERROR_NONE) {
        interception->is_settled = true;
        browser_tls_set_chain(interception->browser, leaf_cache_chain(interception->leaves));
    }
    return kind;
}

enum error_kind proxy_take_signature(struct proxy *proxy, struct span packet, struct error *error)
{
    struct leaf_cache *leaves = proxy->interception->leaves;

    return leaves ? leaf_cache_answer(leaves, packet, error) : ERROR_NONE;
}

void proxy_signer_lost(struct proxy *proxy)
{
    proxy->interception->is_settled = false;
    if (proxy->interception->leaves)
        leaf_cache_lost(proxy->interception->leaves);
}

void proxy_set_ticket_keys(struct proxy *proxy, const struct browser_ticket_key *keys, size_t count)
{
    browser_tls_set_ticket_keys(proxy->interception->browser, keys, count);
}

enum error_kind proxy_set_trust(struct proxy *proxy, const struct proxy_trust *trust,
                                struct error *error)
{
    struct interception *interception = proxy->interception;
    struct anchors *anchors = NULL;
    enum error_kind kind = anchors_new(&anchors, trust, error);

    if (kind)
        return kind;
    anchors_free(&interception->anchors);
    interception->anchors = anchors;
    choice_set_list(interception->choice, trust->no_intercept);
    return ERROR_NONE;
}

enum error_kind proxy_set_learned(struct proxy *proxy, struct span text, struct error *error)
{
    return choice_set_learned(proxy->interception->choice, text, error);
}
