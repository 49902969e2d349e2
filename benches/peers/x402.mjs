// The official x402 packages in their mode that is cheapest a call: `batch-settlement`, a channel
// and a voucher a call, which the server verifies by itself. One process a part, told its terms in
// JSON; each prints a line of JSON when it listens:
//   node x402.mjs facilitator '{"network", "rpc"}'
//   node x402.mjs server '{"network", "asset", "name", "version", "facilitator", "stub"}'
//   node x402.mjs client '{"network", "asset", "server", "path", "body", "payers"}'
import { serve } from "@hono/node-server";
import { x402Client, x402HTTPClient } from "@x402/core/client";
import { x402Facilitator } from "@x402/core/facilitator";
import { HTTPFacilitatorClient } from "@x402/core/server";
import { toFacilitatorEvmSigner } from "@x402/evm";
import {
  BatchSettlementEvmScheme as ClientScheme, InMemoryClientChannelStorage,
} from "@x402/evm/batch-settlement/client";
import {
  BatchSettlementEvmScheme as FacilitatorScheme,
} from "@x402/evm/batch-settlement/facilitator";
import { BatchSettlementEvmScheme as ServerScheme } from "@x402/evm/batch-settlement/server";
import { wrapFetchWithPayment } from "@x402/fetch";
import { paymentMiddleware, x402ResourceServer } from "@x402/hono";
import { Hono } from "hono";
import { createWalletClient, defineChain, http, keccak256, publicActions, toHex } from "viem";
import { privateKeyToAccount } from "viem/accounts";

// In millionths of a dollar: what a call costs, and what a channel holds, 100,000 calls.
const PRICE = 10, DEPOSIT = 1_000_000;
const JSON_BODY = { "content-type": "application/json" };

const [role, terms] = process.argv.slice(2);
const account = (name) => privateKeyToAccount(keccak256(toHex(`x402 ${name}`)));
const { app, ...ready } = { facilitator, server, client }[role](JSON.parse(terms));
serve({ fetch: app.fetch, hostname: "127.0.0.1", port: 0 }, ({ port }) => {
  console.log(JSON.stringify({ address: `127.0.0.1:${port}`, ...ready }));
});

function facilitator({ network, rpc }) {
  const chain = defineChain({
    id: Number(network.split(":")[1]),
    name: "embedded",
    nativeCurrency: { name: "Ether", symbol: "ETH", decimals: 18 },
    rpcUrls: { default: { http: [rpc] } },
  });
  const payer = account("facilitator");
  const wallet = createWalletClient({ account: payer, chain, transport: http() });
  const signer = toFacilitatorEvmSigner({
    ...wallet.extend(publicActions), address: payer.address,
  });
  const facilitator = new x402Facilitator().register(network, new FacilitatorScheme(signer));
  const asked = (method) => async (c) => {
    const { paymentPayload, paymentRequirements } = await c.req.json();
    return c.json(await facilitator[method](paymentPayload, paymentRequirements));
  };
  const app = new Hono();
  app.get("/supported", (c) => c.json(facilitator.getSupported()));
  app.post("/verify", asked("verify"));
  app.post("/settle", asked("settle"));
  return { app, account: payer.address };
}

function server({ network, asset, name, version, facilitator, stub }) {
  const receiver = account("server");
  const scheme = new ServerScheme(receiver.address, { receiverAuthorizerSigner: receiver });
  const chain = new HTTPFacilitatorClient({ url: `http://${facilitator}` });
  const resources = new x402ResourceServer(chain).register(network, scheme);
  const accepts = {
    scheme: scheme.scheme,
    network,
    payTo: receiver.address,
    maxTimeoutSeconds: 60,
    price: { amount: String(PRICE), asset, extra: { name, version } },
    extra: { minDeposit: String(DEPOSIT) },
  };
  const app = new Hono();
  app.use(paymentMiddleware({ "POST /v1/*": { accepts } }, resources));
  app.post("/v1/*", async (c) => {
    const ask = { method: "POST", headers: JSON_BODY, body: await c.req.text() };
    const answer = await fetch(`http://${stub}${c.req.path}`, ask);
    return new Response(answer.body, { status: answer.status, headers: JSON_BODY });
  });
  // All vouchers to the chain; how many calls they have paid for.
  app.post("/claim", async (c) => {
    await scheme.createChannelManager(chain, network, asset).claimAndSettle();
    const channels = await scheme.getStorage().list();
    return c.json(channels.reduce((sum, channel) => sum + Number(channel.totalClaimed), 0) / PRICE);
  });
  return { app };
}

function client({ network, asset, server, path, body, payers }) {
  const url = `http://${server}${path}`, ask = { method: "POST", headers: JSON_BODY, body };
  const clients = Array.from({ length: payers }, (_, payer) => {
    const storage = new InMemoryClientChannelStorage();
    const scheme = new ClientScheme(account(`payer ${payer}`), { storage });
    const client = new x402Client().register(network, scheme);
    const allowed = { network, asset, maxAmountPerPayment: String(DEPOSIT) };
    client.setSpendControls({ allowedAssets: [allowed] });
    return { client, storage, fetch: wrapFetchWithPayment(fetch, client) };
  });
  const app = new Hono();
  // A payer's next payments, each as though the one before had been answered.
  app.post("/sign", async (c) => {
    const { payer, count } = await c.req.json();
    const { client, storage } = clients[payer];
    const coded = new x402HTTPClient(client);
    const unpaid = await fetch(url, ask);
    const required = coded.getPaymentRequiredResponse((name) => unpaid.headers.get(name));
    const payments = [];
    while (payments.length < count) {
      const payment = await client.createPaymentPayload(required);
      const { channelId, maxClaimableAmount } = payment.payload.voucher;
      const channel = { balance: String(DEPOSIT), chargedCumulativeAmount: maxClaimableAmount };
      await storage.set(channelId, channel);
      payments.push(coded.encodePaymentSignatureHeader(payment)["PAYMENT-SIGNATURE"]);
    }
    return c.json(payments);
  });
  // Whole calls, as an application makes them: refused, signed, paid.
  app.post("/call", async (c) => {
    const { payers, count } = await c.req.json();
    const latencies_s = [];
    const start = performance.now();
    await Promise.all(clients.slice(0, payers).map(async ({ fetch }) => {
      for (let call = 0; call < count; call += 1) {
        const start = performance.now();
        const answer = await fetch(url, ask);
        await answer.text();
        latencies_s.push((performance.now() - start) / 1000);
        if (!answer.ok) throw new Error(`a call got ${answer.status}`);
      }
    }));
    return c.json({ wall_s: (performance.now() - start) / 1000, latencies_s });
  });
  return { app, accounts: clients.map((_, payer) => account(`payer ${payer}`).address) };
}
