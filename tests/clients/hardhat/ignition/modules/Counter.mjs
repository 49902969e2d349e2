// What hardhat-ignition deploys, and calls once.
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

export default buildModule("Counter", (module) => {
  const counter = module.contract("Counter", [1n]);
  module.call(counter, "add", [2n]);
  return { counter };
});
