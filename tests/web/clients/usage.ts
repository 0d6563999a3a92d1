// One claim, as a partner writes it: types from the document, checked by tsc --strict.
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

type Event = components["schemas"]["EventsView"]["events"][number];

function need<T>(value: T | undefined, what: string): T {
  if (value === undefined) throw new Error(`no ${what}`);
  return value;
}

function client(key: string) {
  const headers = { Authorization: `Bearer ${key}` };
  return createClient<paths>({ baseUrl: need(process.env.API, "API"), headers });
}

// The type of an event says what its data hold.
function told(event: Event): string {
  switch (event.type) {
    case "entitlement.granted":
      return `${event.data.quantity} ${event.data.benefit} until ${event.data.expires_at}`;
    case "entitlement.expired":
      return `${event.data.quantity} ${event.data.unit}`;
    case "entitlement.made_good":
      return `${event.data.quantity} ${event.data.benefit} for ${event.data.claim_id}`;
    case "entitlement.transferred":
    case "entitlement.received":
    case "entitlement.extended":
    case "entitlement.debt_given":
    case "entitlement.debt_taken":
      return `${event.data.quantity} ${event.data.unit}`;
    case "member.merged":
      return `${event.data.merged} ${event.data.into}`;
    case "member.blocked":
      return `${event.data.scope} ${event.data.target} ${event.data.from_at}`;
    case "member.unblocked":
      return `${event.data.scope} ${event.data.target}`;
    case "rule.activated":
      return `${event.data.programme} ${event.data.version}`;
    case "codes.low":
      return `${event.data.free} ${event.data.sku}`;
    case "order.settled":
      return `${event.data.delivered} of ${event.data.quantity} ${event.data.benefit}`;
    case "charge.cleared":
      return `${event.data.amount_minor} ${event.data.provider}`;
    case "loss.recovered":
    case "entitlement.returned":
    case "entitlement.revoked":
    case "entitlement.clawed_back":
    case "entitlement.converted":
    case "entitlement.reduced":
    case "entitlement.restored":
    case "entitlement.debt_forgiven":
      return `${event.data.quantity} ${event.data.benefit}`;
    case "claim.placed":
      return event.data.benefit;
    case "claim.refused":
      return `${event.data.refusal} ${event.data.benefit}`;
    case "wait.begun":
    case "wait.ended":
      return `${event.data.quantity} ${event.data.benefit}`;
    case "budget.threshold":
      return `${event.data.budget} ${event.data.percent}`;
    case "tier.upgraded":
    case "tier.downgraded":
    case "tier.watched":
    case "tier.retained":
    case "tier.held":
    case "tier.downgrade_scheduled":
    case "tier.undetermined":
    case "tier.ended":
    case "tier.merged":
    case "tier.welcomed":
    case "tier.welcome_ended":
    case "tier.corrected":
      return `${event.data.from} ${event.data.to}`;
    case "tier.at_risk":
    case "tier.near":
      return `${event.data.tier} ${event.data.needed_daily_minor}`;
    default:
      return event.data.reason;
  }
}

const mobile = client(need(process.env.MOBILE, "MOBILE"));
const crm = client(need(process.env.CRM, "CRM"));
const customer = need(process.env.CUSTOMER, "CUSTOMER");

const found = await crm.POST("/v1/members:lookup", { body: { references: [customer] } });
const member_id = need(found.data?.members[customer], "member");
const params = { path: { member_id } };

const had = need((await mobile.GET("/v1/members/{member_id}/benefits", { params })).data, "answer");
const offer = need(had.benefits.find((one) => Number(one.available) > 0), "benefit");

const header = { "Idempotency-Key": "typescript-1" };
const recipient = Object.fromEntries(offer.recipient.map((field) => [field, "13800000001"]));
const placed = await mobile.POST("/v1/members/{member_id}/claims", {
  params: { ...params, header },
  body: { benefit: offer.code, quantity: 1, recipient },
});
const claim_id = need(placed.data, placed.error?.code ?? "claim").id;

const claim = await mobile.GET("/v1/claims/{claim_id}", { params: { path: { claim_id } } });
const refused = await mobile.POST("/v1/members/{member_id}/claims", {
  params: { ...params, header },
  body: { benefit: "NONE", quantity: 1, recipient: {} },
});
const feed = need((await crm.GET("/v1/events", { params: { query: { limit: 100 } } })).data, "feed");
const seen = await crm.GET("/v1/members/{member_id}/summary", { params });

console.log(
  JSON.stringify({
    state: claim.data?.state,
    benefit: claim.data?.benefit,
    refused: refused.error?.code,
    told: feed.events.map(told),
    caught_up: feed.caught_up,
    open_orders: seen.data?.open_orders,
  }),
);
